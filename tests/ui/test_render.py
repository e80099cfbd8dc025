"""Pages: base, errors, the pattern page with every component, in both languages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from llmos.core.clock import now
from llmos.infra.i18n import Locale, lazy, localize
from llmos.ui import render as render_module
from llmos.ui.filters import LocaleFilters, avatar_tone, filesize, path_segment, with_query
from llmos.ui.patterns import patterns_page
from llmos.ui.render import (
    Flash,
    InstallProgress,
    PageContext,
    UnknownIcon,
    Viewer,
    environment,
    icon,
    register_templates,
    render,
)

COMPONENTS = Path(render_module.__file__).parent / "templates" / "components"
VOID = {"meta", "link", "input", "img", "br", "hr", "source", "path", "rect", "circle", "use", "wbr", "col"}


class _Outline(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert len(values) == len(attrs), (tag, attrs)
        self.tags.append((tag, values))
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open, tag
        assert self.open.pop() == tag, (tag, self.getpos())


def pages(locale: Locale) -> list[str]:
    visitor = PageContext(locale=locale, csrf_token="t0k", path="/models")
    member = PageContext(
        locale=locale,
        theme="dark",
        viewer=Viewer("ada", "Ada Lovelace", is_admin=True),
        csrf_token="t0k",
        flashes=(Flash("Saved."),),
        install_progress=InstallProgress("Installing", 1, 3),
        notice="Back at noon.",
    )
    errors = [
        render("error.html", {"status": status, "message": message, "reference": "r1"}, page)
        for status in (400, 401, 403, 404, 409, 413, 429, 500, 501, 503, 507)
        for message in ("", "Name the file.")
        for page in (visitor, member)
    ]
    return [patterns_page(visitor), patterns_page(member), *errors]


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_pages_are_well_formed_and_need_no_inline_code(locale: Locale) -> None:
    for html in pages(locale):
        outline = _Outline(html)
        assert outline.open == []
        assert len(outline.ids) == len(set(outline.ids))
        for tag, attrs in outline.tags:
            assert "style" not in attrs, (tag, attrs)
            assert tag != "style"
            assert not any(name.startswith("on") for name in attrs), (tag, attrs)
            if tag == "script":
                assert str(attrs["src"]).startswith("/-/static/")
            for name in ("aria-labelledby", "aria-describedby", "for"):
                for reference in str(attrs.get(name) or "").split():
                    assert reference in outline.ids, (tag, name, reference)


def test_every_form_that_changes_something_carries_the_token() -> None:
    for html in pages("en"):
        for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", html, re.DOTALL):
            assert 'name="csrf_token" value="t0k"' in form


def test_every_component_is_on_the_pattern_page() -> None:
    ui = environment("en").globals["ui"]
    template = (COMPONENTS.parent / "patterns.html").read_text("utf-8")
    sources = {path.name: path.read_text("utf-8") for path in COMPONENTS.glob("*.html")}
    shell = "".join((COMPONENTS.parent / name).read_text("utf-8") for name in ("base.html", "_header.html"))
    for name in vars(ui):
        used_by_component = any(re.search(rf"(?<!macro )\b{name}\(", text) for text in sources.values())
        assert f"ui.{name}(" in template + shell or used_by_component, f"{name} is not shown"
    for filename, source in sources.items():
        macros = re.findall(r"{% macro ([a-z]\w*)\(", source)
        assert any(f"ui.{name}(" in template for name in macros), f"{filename} is not shown"


def test_the_language_changes_words_and_lang() -> None:
    html = patterns_page(PageContext(locale="zh"))
    assert '<html lang="zh-Hans">' in html
    assert "新建仓库" in patterns_page(PageContext(locale="zh", viewer=Viewer("ada")))
    assert "跳到正文" in html


def test_the_theme_is_chosen_or_left_to_the_device() -> None:
    assert 'data-theme="dark"' in patterns_page(PageContext(theme="dark"))
    assert "data-theme=" not in patterns_page(PageContext()).split("<body")[0]


def test_text_is_escaped() -> None:
    page = PageContext(
        viewer=Viewer("ada", "<script>x</script>"), search_query='"><img>', flashes=(Flash("<b>x</b>"),)
    )
    html = render("error.html", {"status": 404, "message": "<i>no</i>", "reference": ""}, page)
    for raw in ("<script>x", '"><img>', "<b>x</b>", "<i>no</i>"):
        assert raw not in html


def test_a_lazy_message_is_said_in_the_language_of_the_page() -> None:
    context = {"status": 404, "message": lazy("Nothing here"), "reference": ""}
    assert "这里什么也没有" in render("error.html", context, PageContext(locale="zh"))


def test_error_pages_lead_in_the_readers_language() -> None:
    def lead(message: str, locale: Locale) -> str:
        html = render(
            "error.html", {"status": 400, "message": message, "reference": ""}, PageContext(locale=locale)
        )
        assert localize(message, locale) in html
        return html.split('<p class="page-lead">')[1].split("</p>")[0]

    assert lead("limit must be a number.", "en") == "limit must be a number."
    assert "请求" in lead("limit must be a number.", "zh")
    assert lead("The access rule is saved.", "zh") == "访问规则已保存。"


@dataclass(frozen=True)
class _Context:
    status: int = 404
    message: str = "from a dataclass"
    reference: str = ""


def test_a_dataclass_is_a_context() -> None:
    assert "from a dataclass" in render("error.html", _Context(), PageContext())


def test_a_missing_name_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("error.html", {"status": 404, "message": ""}, PageContext())


def test_an_unknown_icon_is_an_error() -> None:
    with pytest.raises(UnknownIcon, match="no-such"):
        icon("no-such")
    assert 'role="img" aria-label="Likes"' in icon("heart", label="Likes")


def test_a_feature_brings_its_own_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_module, "_folders", list(render_module._folders))
    (tmp_path / "talks").mkdir()
    (tmp_path / "talks" / "detail.html").write_text('{{ ui.badge(_("Private")) }}{{ 5|filesize }}')
    environment.cache_clear()
    register_templates(tmp_path)
    try:
        assert "私有" in render("talks/detail.html", {}, PageContext(locale="zh"))
    finally:
        environment.cache_clear()


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1234, "1.23 kB"), (999_600, "1 MB"), 
     (1_200_000_000, "1.2 GB"), (497_774_208, "498 MB"), (5 * 10**18, "5000 PB")],
)  # fmt: skip
def test_filesize(size_bytes: int, text: str) -> None:
    assert filesize(size_bytes) == text


def test_numbers_and_times_speak_the_language() -> None:
    en, zh = LocaleFilters("en"), LocaleFilters("zh")
    assert (en.number(999), en.number(1234), en.number(3_400_000)) == ("999", "1.2k", "3.4M")
    assert zh.number(12_345) == "1.2万"
    at = now() - timedelta(days=3, minutes=1)
    assert (en.relative(at), zh.relative(at)) == ("3 days ago", "3 天前")
    assert re.match(
        r'<time datetime="\d{4}-[^"]+Z" title="[^"]+ UTC" data-relative>3 days ago</time>', en.ago(at)
    )
    assert en.ago(None) == ""


def test_url_parts_are_quoted() -> None:
    assert path_segment("a/b ?#") == "a%2Fb%20%3F%23"
    assert with_query("/models", {"q": "a b", "sort": None, "tag": ["x", "y"]}) == "/models?q=a+b&tag=x&tag=y"
    assert 0 <= avatar_tone("王芳") < 8
