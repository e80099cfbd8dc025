"""Languages: choice, lazy messages, and no message without a Chinese translation."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.infra.i18n import LOCALES, lazy, localize, negotiate_locale, translator
from llmos.infra.i18n.catalogs import Locale, read_catalog
from llmos.infra.i18n.extract import extract_template, list_gaps


@pytest.mark.parametrize(
    ("accept", "cookie", "pref", "expected"),
    [
        (None, None, None, "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", None, None, "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", None, None, "en"),
        ("fr, zh-Hant;q=0.3", None, None, "zh"),
        ("zh;q=0, en", None, None, "en"),
        ("en;q=0.2, zh;q=0.7", None, None, "zh"),
        ("en", "zh", None, "zh"),
        ("en", "en", "zh_CN", "zh"),
        ("zh", "nonsense", "", "zh"),
        ("zh;q=nan", None, None, "en"),
    ],
)
def test_the_wish_decides(accept: str | None, cookie: str | None, pref: str | None, expected: str) -> None:
    assert negotiate_locale(accept, cookie, pref) == expected


@given(st.text(max_size=60), st.text(max_size=10), st.text(max_size=10))
def test_any_header_gives_a_language(accept: str, cookie: str, pref: str) -> None:
    assert negotiate_locale(accept, cookie, pref) in LOCALES


def test_a_lazy_message_is_text_until_somebody_reads_it() -> None:
    message = lazy("Line %(line)s", line=7)
    assert message == "Line 7"
    assert json.dumps({"error": message}) == '{"error": "Line 7"}'
    assert localize(message, "zh") == "第 7 行"
    assert localize(pickle.loads(pickle.dumps(message)), "zh") == "第 7 行"


def test_plain_text_is_translated_if_known() -> None:
    assert localize("Private", "zh") == "私有"
    assert localize("tiny-llm", "zh") == "tiny-llm"
    assert localize("", "zh") == ""
    assert translator("en").gettext("Private") == "Private"


def test_every_message_is_found_in_code_and_templates(tmp_path: Path) -> None:
    (tmp_path / "features/talks/templates/talks").mkdir(parents=True)
    (tmp_path / "features/talks/service.py").write_text('from x import lazy\nlazy("Too %(kind)s.")\n')
    page = "{% trans count=n %}One talk{% pluralize %}{{ count }} talks{% endtrans %}{{ _('Talk') }}"
    (tmp_path / "features/talks/templates/talks/list.html").write_text(page)
    ids = {message.id for message in extract_template(tmp_path) if message.id}
    assert ids == {"Too %(kind)s.", ("One talk", "%(count)s talks"), "Talk"}


def test_chinese_is_complete() -> None:
    """Mend it with `python -m llmos.infra.i18n.extract`, then fill the empty `msgstr`."""
    template = extract_template()
    assert list_gaps(read_catalog("zh"), template) == []
    known = {(message.id, message.context) for message in read_catalog("en")}
    assert [message.id for message in template if (message.id, message.context) not in known] == []


@pytest.mark.parametrize("locale", LOCALES)
def test_translations_use_the_placeholders_of_their_message(locale: Locale) -> None:
    for message in read_catalog(locale):
        ids = [message.id] if isinstance(message.id, str) else list(message.id)
        strings = [message.string] if isinstance(message.string, str) else list(message.string or ())
        wanted = set(re.findall(r"%\(\w+\)[sd]", " ".join(ids)))
        for string in strings:
            if string and message.id:
                assert set(re.findall(r"%\(\w+\)[sd]", string)) <= wanted, message.id
