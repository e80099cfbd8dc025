"""The card says what was done; the hub's own checker finds nothing to complain about."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from llmos.features.repos.cards.front_matter import read_card
from llmos.features.repos.cards.validate import validate_card
from llmos.lab.outputs.card import CURVE, CardFacts, model_card, write_card
from llmos.lab.outputs.curves import curve_svg, thinned, ticks
from llmos.lab.outputs.energy import EnergyMeter
from llmos.lab.outputs.licences import inherit


def facts(**changed: Any) -> CardFacts:
    values: dict[str, Any] = {
        "name": "ada/tiny-llm",
        "objective": "clm",
        "recipe": "version: 1\nobjective: clm\n",
        "sources": [
            {"files": ["english.txt"], "samples": ["english.txt"], "size_bytes": 100_000},
            {"dataset": "ada/poems", "revision": "f" * 40, "licence": "cc-by-4.0", "size_bytes": 5_000_000},
        ],
        "file_licences": {"english.txt": "cc0-1.0"},
        "parameters": 1_234_567,
        "statistics": {
            "read": 1200,
            "train": 1100,
            "validation": 60,
            "dropped": {"near": 40},
            "languages": {"en": 900, "zh": 260, "other": 1},
        },
        "steps": 500,
        "tokens": 1_000_000,
        "seconds": 300.0,
        "metrics": {
            "loss": 3.21,
            "bits_per_byte": 1.98,
            "bits_per_byte_low": 1.9,
            "bits_per_byte_high": 2.06,
        },
        "samples": [{"prompt": "The people", "text": " of the ```United``` States"}],
        "machine": {"cpu": "a processor", "cores": 2},
        "energy": {"kwh": 0.0021, "method": "estimated: processor time x 12 W a core", "co2_grams": None},
    }
    return CardFacts(**(values | changed))


def test_the_hub_accepts_the_card_and_reads_its_facts() -> None:
    card = model_card(facts())
    report = validate_card(card, "model")
    assert (report.errors, report.warnings) == ([], [])
    front = read_card(card).data
    assert front["license"] == "cc-by-4.0"
    assert front["language"] == ["en", "zh"]
    assert front["datasets"] == ["ada/poems"]
    assert front["pipeline_tag"] == "text-generation"
    assert "base_model" not in front
    assert "1.23 million parameters" in card
    assert "| bits per byte | 1.98 | 1.9 to 2.06 |" in card
    assert "| ada/poems | `ffffffffffff` | cc-by-4.0 | 5.00 MB |" in card
    assert "| english.txt | local | cc0-1.0 | 0.10 MB |" in card
    assert "2.1 Wh, estimated" in card
    assert "1,200 documents were read, 1,100 learnt from, 60 held out; left out: 40 near." in card
    assert "Not chosen" in card
    assert "'''United'''" in card


def test_of_somebodys_own_file_no_licence_is_known() -> None:
    card = model_card(facts(sources=[{"files": ["english.txt"], "samples": [], "size_bytes": 1}]))
    assert read_card(card).data["license"] == "other"
    assert "english.txt does not say its licence" in card


def test_a_tuned_model_names_its_base_and_warns_of_a_conflict() -> None:
    base = {"name": "grace/base", "revision": "a" * 40, "licence": "llama3"}
    sources = [{"dataset": "ada/wiki", "revision": "b" * 40, "licence": "cc-by-sa-4.0"}]
    energy = {"kwh": 0.5, "method": "measured by codecarbon", "co2_grams": 200.0}
    card = model_card(
        facts(base=base, sources=sources, trained_parameters=1000, stopped="NaN loss.", energy=energy)
    )
    front = read_card(card).data
    assert front["license"] == "other"
    assert front["base_model"] == "grace/base"
    assert front["co2_eq_emissions"]["emissions"] == 200.0
    assert "both want their own terms" in card
    assert "The run ended early.** NaN loss." in card
    assert "of which 1 thousand were trained" in card
    assert not validate_card(card, "model").errors


@pytest.mark.parametrize(
    ("parts", "chosen", "licence", "warning"),
    [
        ([("a", "mit"), ("b", "apache-2.0")], None, "apache-2.0", None),
        ([("a", "cc0-1.0")], None, "cc0-1.0", None),
        ([("a", "cc0-1.0")], "mit", "mit", None),
        ([("a", "mit"), ("b", "cc-by-sa-4.0")], None, "cc-by-sa-4.0", None),
        ([("a", "mit"), ("b", "cc-by-sa-4.0")], "mit", "mit", "must keep these terms"),
        ([("a", "cc-by-nc-4.0"), ("b", "mit")], None, "cc-by-nc-4.0", None),
        ([("a", "cc-by-nc-4.0")], "apache-2.0", "apache-2.0", "allows commercial use"),
        ([("a", "cc-by-nd-4.0")], None, "cc-by-nd-4.0", "forbids passing on derived works"),
        ([("a", "gpl-3.0"), ("b", "mpl-2.0")], None, "gpl-3.0", None),
        ([("a", "llama3"), ("b", "gemma")], None, "other", "both want their own terms"),
        ([("a", "llama3"), ("b", "mit")], None, "llama3", None),
        ([("a", None), ("b", "mit")], None, "other", "a does not say its licence"),
    ],
)
def test_licences(
    parts: list[tuple[str, str | None]], chosen: str | None, licence: str, warning: str | None
) -> None:
    found = inherit(parts, chosen)
    assert found.licence == licence
    assert [warning in text for text in found.warnings] == [True] if warning else found.warnings == []


def test_the_picture_is_drawn_from_the_losses(tmp_path: Path) -> None:
    history = [(n, "train/loss", 9.0 / (1 + n)) for n in range(1000)] + [
        (500, "eval/loss", 1.0),
        (5, "train/lr", 1.0),
    ]
    card = write_card(tmp_path, facts(), [*history, (1001, "train/loss", float("nan"))])
    assert CURVE in card.read_text(encoding="utf-8")
    root = ElementTree.parse(tmp_path / CURVE).getroot()
    names = [element.tag.rsplit("}", 1)[-1] for element in root.iter()]
    assert names.count("polyline") == 1
    assert names.count("circle") == 1
    assert CURVE not in write_card(tmp_path, facts()).read_text(encoding="utf-8")
    assert "<b>" not in curve_svg({"<b>": [(0, 1)]}, title="<b>")


def test_ticks_are_round_and_hold_all_values() -> None:
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(1.13, 1.99) == [1.0, 1.2, 1.4, 1.6, 1.8, 2.0]
    assert ticks(5, 5)[0] < 5 < ticks(5, 5)[-1]
    points = [(float(n), float(n)) for n in range(10_000)]
    assert len(thinned(points)) == 400
    assert thinned(points)[-1] == (9999.0, 9999.0)


def test_energy_is_counted_and_its_method_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_GRID_G_PER_KWH", "400")
    with EnergyMeter() as meter:
        sum(n * n for n in range(300_000))
    assert meter.result is not None
    found = meter.result.to_json()
    assert found["kwh"] > 0
    assert found["cpu_seconds"] > 0
    assert found["co2_grams"] == pytest.approx(found["kwh"] * 400)
    assert found["method"].startswith(("estimated: processor time", "measured"))


TRACKER = """
class Data:
    energy_consumed, gpu_energy = 0.25, 0.0

class OfflineEmissionsTracker:
    def __init__(self, **options): {at_start}
    def start(self): pass
    def stop(self): {at_end}
"""


@pytest.mark.parametrize(
    ("at_start", "at_end", "kwh", "method"),
    [
        ("pass", "self.final_emissions_data = Data()", 0.25, "by codecarbon"),
        ("raise OSError('no /sys here')", "pass", None, ""),
        ("pass", "pass", None, ""),
        ("pass", "raise RuntimeError('thread is gone')", None, ""),
    ],
)
def test_codecarbon_is_asked_and_need_not_answer(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_start: str,
    at_end: str,
    kwh: float | None,
    method: str,
) -> None:
    """A stand-in for the library, which looks at hardware that tests do not have."""
    (tmp_path / "codecarbon.py").write_text(TRACKER.format(at_start=at_start, at_end=at_end))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "codecarbon", raising=False)
    with EnergyMeter() as meter:
        sum(range(100_000))
    sys.modules.pop("codecarbon", None)  # monkeypatch would bring it back for the tests to come
    assert meter.result is not None
    if kwh is not None:
        assert (meter.result.kwh, method in meter.result.method) == (kwh, True)
    else:
        assert meter.result.kwh < 0.01
        assert "codecarbon" not in meter.result.method


@pytest.mark.parametrize(
    ("accuracy", "verdict"),
    [
        (0.99, "It beats both."),
        (0.95, "**It does not beat TF-IDF with logistic regression.**"),
        (0.5, "**It does not beat always the commonest label or TF-IDF with logistic regression.**"),
    ],
)
def test_a_classifier_is_held_against_what_is_simple(accuracy: float, verdict: str) -> None:
    simple = {"majority_accuracy": 0.675, "tfidf_accuracy": 0.98}
    card = model_card(facts(objective="classify", metrics={"accuracy": accuracy} | simple))
    assert f"the model has {accuracy:.1%} right, always the commonest label 67.5%" in card
    assert verdict in card
    assert "same held-out examples" not in model_card(facts(metrics={"accuracy": accuracy}))
