"""README.md of a trained model, written from the facts of its run and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from llmos.lab.outputs.curves import curve_svg
from llmos.lab.outputs.licences import inherit

_TASKS = {
    "clm": "text-generation",
    "sft": "text-generation",
    "dpo": "text-generation",
    "kto": "text-generation",
    "orpo": "text-generation",
    "reward": "text-classification",
    "mlm": "fill-mask",
    "seq2seq": "text-generation",
    "classify": "text-classification",
    "tag": "token-classification",
    "qa": "question-answering",
    "summarize": "summarization",
    "translate": "translation",
}
_AIMS = {
    "clm": "to continue text",
    "mlm": "to fill in hidden words",
    "seq2seq": "to restore damaged text",
    "sft": "to answer in conversations",
    "dpo": "to prefer the better of two answers (DPO)",
    "kto": "to prefer good answers (KTO)",
    "orpo": "to prefer the better of two answers (ORPO)",
    "reward": "to grade answers",
    "classify": "to put texts into classes",
    "tag": "to tag words",
    "qa": "to find answers in a text",
    "summarize": "to summarise",
    "translate": "to translate",
}
_WITHOUT_PIPELINE = dict.fromkeys(("seq2seq", "summarize", "translate"), "AutoModelForSeq2SeqLM")
_WITHOUT_PIPELINE["qa"] = "AutoModelForQuestionAnswering"
CURVE = "training-curve.svg"


@dataclass(frozen=True)
class CardFacts:
    """What the card tells. `metrics` may hold `name_low` and `name_high`, the ends of an interval.

    `base` and each of `sources` are dicts with `name` or `dataset`, `revision`, `licence`; `energy` is
    `Energy.to_json()`; `recipe` the YAML as it was run; `statistics` those of the data, with
    `TokenStatistics.to_json()` as `spelling`.
    """

    name: str
    objective: str
    recipe: str
    sources: list[dict[str, Any]]
    parameters: int
    base: dict[str, Any] | None = None
    trained_parameters: int | None = None
    statistics: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    samples: list[dict[str, str]] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    energy: dict[str, Any] | None = None
    licence: str | None = None
    library: str = "transformers"
    stopped: str = ""
    # The step whose weights were kept, if not the last.
    best_step: int = 0
    has_curve: bool = True
    # Hyper-parameters as they were used, a line each.
    settings: Sequence[str] = ()
    # Licences of the files that LLMOS ships, by name; of other local files nobody knows them.
    file_licences: Mapping[str, str] = field(default_factory=dict)


def model_card(facts: CardFacts) -> str:
    """The card: front matter as the Hub reads it, then what was done and what came of it."""
    licence = inherit(_parts(facts), facts.licence)
    sections = [
        _head(facts),
        _warnings(licence.warnings, facts.stopped),
        _use(facts),
        _results(facts),
        _data(facts),
        _training(facts),
        _samples(facts),
        f"## Recipe\n\n```yaml\n{facts.recipe.strip()}\n```",
    ]
    front = yaml.safe_dump(_front_matter(facts, licence.licence), sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n" + "\n\n".join(part for part in sections if part) + "\n"


def write_card(folder: Path, facts: CardFacts, history: Sequence[tuple[int, str, float]] = ()) -> Path:
    """Write README.md and, if `history` has losses, the picture of their curves; the card's path.

    `history` is (step, name, value) as a run reports them; names ending in `loss` are drawn.
    """
    curves: dict[str, list[tuple[float, float]]] = {}
    for step, name, value in history:
        if name.endswith("loss"):
            curves.setdefault(name, []).append((step, value))
    if curves:
        picture = curve_svg(curves, title=f"Loss of {facts.name}")
        (folder / CURVE).write_text(picture, encoding="utf-8")
    card = folder / "README.md"
    card.write_text(model_card(replace(facts, has_curve=bool(curves))), encoding="utf-8")
    return card


def _parts(facts: CardFacts) -> list[tuple[str, str | None]]:
    parts: list[tuple[str, str | None]] = []
    if facts.base:
        parts.append((str(facts.base.get("name") or "The base model"), facts.base.get("licence")))
    for source in facts.sources:
        if source.get("dataset"):
            parts.append((str(source["dataset"]), source.get("licence")))
            continue
        parts += [(name, _file_licence(facts, source, name)) for name in source.get("files", [])]
    return list(dict.fromkeys(parts))


def _file_licence(facts: CardFacts, source: Mapping[str, Any], name: str) -> str | None:
    known = facts.file_licences.get(name) if name in source.get("samples", []) else None
    return source.get("licence") or known


def _front_matter(facts: CardFacts, licence: str) -> dict[str, Any]:
    languages = facts.statistics.get("languages", {})
    front: dict[str, Any] = {
        "license": licence,
        "language": [code for code in languages if len(code) == 2],
        "library_name": facts.library,
        "pipeline_tag": _TASKS.get(facts.objective),
        # A folder of this machine is no model that others could look up.
        "base_model": name if "/" in (name := str((facts.base or {}).get("name"))) else None,
        "datasets": list(dict.fromkeys(s["dataset"] for s in facts.sources if s.get("dataset"))),
        "tags": ["llmos-lab", f"objective-{facts.objective}"],
    }
    if facts.energy and facts.energy.get("co2_grams") is not None:
        front["co2_eq_emissions"] = {
            "emissions": round(facts.energy["co2_grams"], 2),
            "source": facts.energy["method"],
            "training_type": "fine-tuning" if facts.base else "pre-training",
        }
    return {key: value for key, value in front.items() if value not in (None, [], {})}


def _head(facts: CardFacts) -> str:
    aim = _AIMS.get(facts.objective, facts.objective)
    start = f"Started from {_link(facts.base)}" if facts.base else "Trained from scratch"
    count = _short(facts.parameters)
    if facts.trained_parameters and facts.trained_parameters < facts.parameters:
        count += f", of which {_short(facts.trained_parameters)} were trained"
    return (
        f"# {facts.name.rsplit('/', 1)[-1]}\n\nA language model trained {aim}. {start}; {count} parameters."
    )


def _link(part: Mapping[str, Any]) -> str:
    revision = f" at `{str(part['revision'])[:12]}`" if part.get("revision") else ""
    return f"{part.get('name') or part.get('dataset')}{revision}"


def _warnings(warnings: list[str], stopped: str) -> str:
    lines = [f"> **Licence.** {warning}" for warning in warnings]
    if stopped:
        lines.append(f"> **The run ended early.** {stopped}")
    return "\n>\n".join(lines)


def _use(facts: CardFacts) -> str:
    if facts.library != "transformers":
        return ""
    if auto := _WITHOUT_PIPELINE.get(facts.objective):
        lines = [
            f"from transformers import {auto}, AutoTokenizer",
            "",
            f'tokenizer = AutoTokenizer.from_pretrained("{facts.name}")',
            f'model = {auto}.from_pretrained("{facts.name}")',
        ]
    else:
        task = _TASKS[facts.objective]
        lines = ["from transformers import pipeline", "", f'model = pipeline("{task}", "{facts.name}")']
    return "\n".join(["## Use", "", "```python", *lines, "```"])


def _results(facts: CardFacts) -> str:
    rows = []
    for name, value in facts.metrics.items():
        if name.endswith(("_low", "_high")) or not isinstance(value, int | float):
            continue
        low, high = facts.metrics.get(f"{name}_low"), facts.metrics.get(f"{name}_high")
        interval = f"{_number(low)} to {_number(high)}" if low is not None and high is not None else ""
        rows.append(f"| {name.replace('_', ' ')} | {_number(value)} | {interval} |")
    if not rows:
        return ""
    table = "\n".join(["| held-out part | value | 95 % interval |", "|---|---:|---|", *rows])
    if any(name.endswith("_low") for name in facts.metrics):
        table += (
            "\n\nThe intervals come from drawing the held-out examples anew (bootstrap); what another seed "
            "would change is not in them."
        )
    curve = f"\n\n![Loss over the run]({CURVE})" if facts.has_curve else ""
    return f"## Results\n\n{table}{_beside(facts.metrics)}{curve}"


_SIMPLE = {
    "majority_accuracy": "always the commonest label",
    "tfidf_accuracy": "TF-IDF with logistic regression",
}


def _beside(metrics: Mapping[str, float]) -> str:
    """Whether a classifier was worth its time: what is simple reaches a good deal, too."""
    found = {name: metrics[name] for name in ("accuracy", *_SIMPLE) if name in metrics}
    if len(found) < 1 + len(_SIMPLE):
        return ""
    mine = found.pop("accuracy")
    right = ", ".join(f"{_SIMPLE[name]} {value:.1%}" for name, value in found.items())
    better = [_SIMPLE[name] for name, value in found.items() if value >= mine]
    verdict = f"**It does not beat {' or '.join(better)}.**" if better else "It beats both."
    return f"\n\nOf the same held-out examples the model has {mine:.1%} right, {right}. {verdict}"


def _data(facts: CardFacts) -> str:
    rows = ["| source | revision | licence | size |", "|---|---|---|---:|"]
    for source in facts.sources:
        name = source.get("dataset") or _files(source.get("files", []))
        licence = source.get("licence") or ", ".join(
            sorted({_file_licence(facts, source, file) or "not said" for file in source.get("files", [])})
        )
        size = f"{source.get('size_bytes', 0) / 1e6:.2f} MB"
        revision = f"`{str(source['revision'])[:12]}`" if source.get("revision") else "local"
        rows.append(f"| {name} | {revision} | {licence or 'not said'} | {size} |")
    counts = facts.statistics
    text = ""
    if counts:
        dropped = ", ".join(f"{n:,} {why}" for why, n in counts.get("dropped", {}).items()) or "none"
        split = counts.get("train", 0) + counts.get("validation", 0) > counts.get("read", 0)
        ends = " (the ends of the same)" if split else ""
        text = (
            f"\n\n{counts.get('read', 0):,} documents were read, {counts.get('train', 0):,} learnt from, "
            f"{counts.get('validation', 0):,} held out{ends}; left out: {dropped}."
        )
        text += _spelling(counts.get("spelling"))
    return "## Data\n\n" + "\n".join(rows) + text


def _spelling(found: Mapping[str, Any] | None) -> str:
    """What the tokenizer made of the texts."""
    if not found:
        return ""
    about, least = ("about ", "at least ") if found["is_sample"] else ("", "")
    text = (
        f"\n\nThey make {about}{found['tokens']:,} tokens: {found['bytes_per_token']:.2f} bytes each, "
        f"{found['fertility']:.2f} a word (a Chinese character is one); {least}"
        f"{found['vocabulary_coverage']:.0%} of the vocabulary of {found['vocab_size']:,} occurs, "
        f"{found['unknown_share']:.2%} of the tokens are unknown."
    )
    if len(found["languages"]) > 1:
        each = (f"{name} {one['bytes_per_token']:.2f}" for name, one in found["languages"].items())
        text += f" Bytes a token by language: {', '.join(each)}."
    return text


def _files(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _training(facts: CardFacts) -> str:
    lines = [f"- {facts.steps:,} steps, {facts.tokens:,} tokens, {_duration(facts.seconds)}"]
    if facts.best_step:
        lines.append(
            f"- The weights are those of step {facts.best_step:,}, chosen for the lowest loss on the "
            "held-out part; its figures above are a little better for it than on texts nobody has looked at"
        )
    machine = facts.machine
    if machine:
        parts = [machine.get("gpu"), machine.get("cpu"), f"{machine.get('cores', '?')} cores"]
        lines.append("- Machine: " + ", ".join(str(part) for part in parts if part))
    if facts.energy:
        energy = f"- Energy: {facts.energy['kwh'] * 1000:.3g} Wh, {facts.energy['method']}"
        if facts.energy.get("co2_grams") is not None:
            energy += f"; {facts.energy['co2_grams']:.3g} g CO2"
        lines.append(energy)
    lines += [f"- {line}" for line in facts.settings]
    return "## Training\n\n" + "\n".join(lines)


def _samples(facts: CardFacts) -> str:
    if not facts.samples:
        return ""
    texts = [f"```text\n{s.get('prompt', '')}{_fenced(s.get('text', ''))}\n```" for s in facts.samples]
    return "## Samples\n\nNot chosen, not edited.\n\n" + "\n\n".join(texts)


def _fenced(text: str) -> str:
    return text.replace("```", "'''")


def _short(count: int) -> str:
    for limit, unit in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= limit:
            return f"{count / limit:.3g} {unit}"
    return str(count)


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
