"""Front matter and the YAML reader behind it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.features.repos.cards.front_matter import read_card, split_front_matter
from llmos.features.repos.cards.safe_yaml import MAX_YAML_CHARS, YamlError, load_yaml


def test_splits_block_from_body() -> None:
    assert split_front_matter("---\nlicense: mit\n---\n# Tiny\n") == ("license: mit", "# Tiny\n")


@pytest.mark.parametrize(
    "text",
    [
        "---\r\nlicense: mit\r\n---\r\nbody",
        "\ufeff---\nlicense: mit\n---\nbody",
        "\n\n---\nlicense: mit\n---  \nbody",
        "---\rlicense: mit\r---\rbody",
    ],
)
def test_line_endings_bom_and_blank_lines_are_tolerated(text: str) -> None:
    for content in (text, text.encode()):
        card = read_card(content)
        assert card.data == {"license": "mit"}
        assert card.body == "body"


@pytest.mark.parametrize("text", ["", "# Tiny", "---\nlicense: mit\n", "x\n---\na: b\n---\n"])
def test_text_without_block_has_no_metadata(text: str) -> None:
    assert split_front_matter(text) == (None, text)
    assert not read_card(text).has_metadata


@pytest.mark.parametrize("text", ["---\n---\nbody", "---\n\n---\nbody", "---\n# note\n---\nbody"])
def test_empty_block_is_no_metadata(text: str) -> None:
    card = read_card(text)
    assert (card.has_metadata, card.error, card.body) == (False, None, "body")


def test_dashes_inside_a_value_do_not_end_the_block() -> None:
    assert read_card("---\na: x---\nb: ----\n---\nbody").data == {"a": "x---", "b": "----"}


@pytest.mark.parametrize("yaml_text", ["- a\n- b", "just text", "a: [1", "a: b: c", "%bad"])
def test_metadata_that_is_not_a_mapping_is_an_error(yaml_text: str) -> None:
    card = read_card(f"---\n{yaml_text}\n---\nbody")
    assert card.error
    assert (card.data, card.body) == ({}, "body")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31T10:30:00Z", "2024-01-31T10:30:00Z"),
        ("1:30", "1:30"),
        ("1e-5", 1e-5),
        ("-.5", -0.5),
        ("007", 7),
        ("0x1f", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("~", None),
        (".nan", None),
        ("-.inf", None),
        ("1e999", "1e999"),
        ("9" * 40, float("9" * 40)),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("!!timestamp 2024-01-31", "2024-01-31"),
    ],
)
def test_scalars_follow_yaml_1_2(written: str, value: object) -> None:
    assert load_yaml(f"key: {written}").value == {"key": value}


def test_keys_become_text_as_written() -> None:
    assert load_yaml("1: a\nno: b\n2024-01-01: c").value == {"1": "a", "no": "b", "2024-01-01": "c"}


def test_duplicate_keys_are_reported_and_the_last_wins() -> None:
    document = load_yaml("a: 1\nb: {c: 1, c: 2}\na: 3")
    assert document.value == {"a": 3, "b": {"c": 2}}
    assert document.duplicate_keys == ("c", "a")


def test_anchors_and_merge_keys_work() -> None:
    text = "base: &base {a: 1, b: 2}\nchild:\n  <<: *base\n  b: 3\nlist: [*base, *base]"
    document = load_yaml(text)
    assert document.value["child"] == {"a": 1, "b": 3}
    assert document.value["list"] == [{"a": 1, "b": 2}] * 2
    assert document.duplicate_keys == ()


def _bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines)


def _tall() -> str:
    """Few characters, but each alias stacks forty levels on the one before."""
    lines = ["a0: &a0 " + "[" * 40 + "]" * 40]
    lines += [f"a{i}: &a{i} " + "[" * 40 + f"*a{i - 1}" + "]" * 40 for i in range(1, 30)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        _bomb(),
        _tall(),
        "a: &a [*a]",
        "a: *missing",
        "a: " + "[" * 100_000,
        "a: !!python/object/apply:os.system [id]",
        "a: !custom x",
        "a: 1\n---\nb: 2",
        "? [a, b]\n: c",
        "<<: 1",
        "a: \x07",
        "x" * (MAX_YAML_CHARS + 1),
    ],
    ids=lambda text: text[:12].strip(),
)
def test_hostile_yaml_is_refused(text: str) -> None:
    with pytest.raises(YamlError):
        load_yaml(text)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text("-:[]{}&*a1 \n!<>|'\"#?,%", max_size=200))
def test_any_content_gives_json(content: bytes | str) -> None:
    prefix = b"---\n" if isinstance(content, bytes) else "---\n"
    suffix = b"\n---\n" if isinstance(content, bytes) else "\n---\n"
    for card in (read_card(content), read_card(prefix + content + suffix)):  # type: ignore[operator]
        json.dumps(card.data, allow_nan=False)
