"""WCAG 2.2: text colours reach 4.5:1 on every ground they stand on, lines of controls 3:1."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llmos.ui import static_files

TOKENS = (Path(static_files.__file__).parent / "css" / "00-tokens.css").read_text("utf-8")
GROUNDS = ["paper", "surface", "sunken", "raised"]
TONES = ["accent", "success", "warning", "danger", "info", "merged"]
CODE = ["keyword", "string", "number", "comment", "name", "type", "meta"]


def blocks() -> dict[str, dict[str, str]]:
    found = re.findall(r"(:root[^{]*) {\n(.*?)\n} ?", TOKENS, re.DOTALL)
    colours = [dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", body)) for _selector, body in found]
    assert len(colours) == 3
    return {"light": colours[0], "dark by device": colours[1], "dark by choice": colours[2]}


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def ratio(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


PAIRS = (
    [(ink, ground) for ink in ("ink", "ink-2", "ink-3", *TONES) for ground in GROUNDS]
    + [(tone, f"{tone}-soft") for tone in TONES]
    + [(ink, f"{tone}-soft") for tone in TONES for ink in ("ink", "ink-2")]
    + [(f"code-{name}", ground) for name in CODE for ground in ("surface", "sunken")]
    + [(ink, soft) for ink in ("ink", "ink-2") for soft in ("add-soft", "del-soft", "mark-soft")]
    + [("accent-ink", "accent"), ("accent-ink", "accent-hover"), ("paper", "danger")]
)


@pytest.mark.parametrize("theme", ["light", "dark by device", "dark by choice"])
def test_text_can_be_read(theme: str) -> None:
    colours = blocks()[theme]
    weak = {
        f"{ink} on {ground}": round(ratio(colours[ink], colours[ground]), 2)
        for ink, ground in PAIRS
        if ratio(colours[ink], colours[ground]) < 4.5
    }
    assert weak == {}


@pytest.mark.parametrize("theme", ["light", "dark by device", "dark by choice"])
def test_controls_can_be_seen(theme: str) -> None:
    colours = blocks()[theme]
    for ground in GROUNDS:
        assert ratio(colours["field-line"], colours[ground]) >= 3
        assert ratio(colours["accent"], colours[ground]) >= 3


def test_both_ways_to_the_dark_are_the_same() -> None:
    assert blocks()["dark by device"] == blocks()["dark by choice"]


def test_generated_avatars_can_be_read() -> None:
    css = (Path(static_files.__file__).parent / "css" / "44-card.css").read_text("utf-8")
    tones = re.findall(r"\.tone-\d { background: (#[0-9a-f]{6})", css)
    assert len(tones) == 8
    assert min(ratio("#ffffff", tone) for tone in tones) >= 4.5
