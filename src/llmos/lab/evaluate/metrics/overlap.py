"""Texts held against references by what they share: BLEU, chrF, TER (sacrebleu) and ROUGE (rouge-score)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from llmos.core.errors import NotBuilt
from llmos.lab.evaluate.metrics.base import FROM_SCORES, Metric
from llmos.lab.evaluate.metrics.words import cut_name, is_by_character, words
from llmos.lab.evaluate.outcomes import Outcome
from llmos.records.aggregates import Scores

_ORDERS = range(1, 5)
_BLEU_KEYS = ["system_length", "reference_length"]
_BLEU_KEYS += [f"{part}_{order}" for part in ("correct", "total") for order in _ORDERS]
_CHRF_KEYS = [f"{part}_{order}" for order in range(1, 7) for part in ("found", "wanted", "match")]
_SENTENCE_END = re.compile(r"(?<=[。！？])")


def bleu(language: str) -> Metric:
    """Corpus BLEU of sacrebleu; its own Chinese cutting for `zh`."""
    return _sacrebleu("bleu", "BLEU", _BLEU_KEYS, {"tokenize": "zh" if is_by_character(language) else "13a"})


def chrf(language: str) -> Metric:
    """chrF2 of sacrebleu: characters up to six."""
    return _sacrebleu("chrf", "CHRF", _CHRF_KEYS, {})


def ter(language: str) -> Metric:
    """Translation edit rate of sacrebleu; Chinese by characters. Lower is better."""
    options = {"normalized": True, "asian_support": True} if is_by_character(language) else {}
    return _sacrebleu("ter", "TER", ["edits", "reference_length"], options, higher_is_better=False)


def _sacrebleu(
    name: str, kind: str, keys: list[str], options: dict[str, Any], *, higher_is_better: bool = True
) -> Metric:
    _installed("sacrebleu")

    @cache
    def scorer() -> Any:
        import sacrebleu.metrics

        return getattr(sacrebleu.metrics, kind)(**options)

    def per_sample(outcome: Outcome) -> Scores:
        references = outcome.wanted_texts
        # sacrebleu adds these up over a corpus itself; it has no public name for them.
        rows = scorer()._extract_corpus_statistics([outcome.output], [[text] for text in references])
        scores = {f"{name}.{key}": float(number) for key, number in zip(keys, rows[0], strict=True)}
        return {**scores, f"{name}.references": float(len(references))}

    return Metric(
        name,
        name,
        per_sample,
        higher_is_better=higher_is_better,
        settings=_own_signature(scorer),
        needs=("wanted_texts",),
    )


def _own_signature(scorer: Callable[[], Any]) -> Callable[[], tuple[tuple[str, str], ...]]:
    """Sacrebleu's signature part by part; how many references there are follows from the samples."""

    def settings() -> tuple[tuple[str, str], ...]:
        scorer().num_refs = 1
        parts = [part.partition(":") for part in str(scorer().get_signature()).split("|")]
        return tuple((key, FROM_SCORES if key == "nrefs" else value) for key, _, value in parts)

    return settings


def rouge(kind: str) -> Callable[[str], Metric]:
    """The maker of `rouge1`, `rouge2`, `rougeL` or `rougeLsum`: F1, the best over the references.

    Chinese is cut by characters, and into sentences at its full stops for `rougeLsum`; elsewhere a line
    is a sentence. Without stemming, as rouge-score does unless asked.
    """

    def make(language: str) -> Metric:
        _installed("rouge-score")

        @cache
        def scorer() -> Any:
            from rouge_score.rouge_scorer import RougeScorer

            return RougeScorer([kind], tokenizer=_Characters() if is_by_character(language) else None)

        def per_sample(outcome: Outcome) -> Scores:
            ready = _sentences if kind == "rougeLsum" and is_by_character(language) else str
            found = scorer().score_multi(
                [ready(text) for text in outcome.wanted_texts], ready(outcome.output)
            )
            return {kind: float(found[kind].fmeasure)}

        settings = (
            ("tok", "chars" if cut_name(language) == "chars" else "rouge-score"),
            ("stem", "no"),
            ("version", version("rouge-score")),
        )
        return Metric(kind, "mean", per_sample, settings=settings, needs=("wanted_texts",))

    return make


class _Characters:
    """What rouge-score asks of a tokenizer; its own drops every Chinese character."""

    def tokenize(self, text: str) -> list[str]:
        return words(text, "zh")


def _sentences(text: str) -> str:
    return _SENTENCE_END.sub("\n", text)


def _installed(package: str) -> None:
    try:
        version(package)
    except PackageNotFoundError as error:
        raise NotBuilt(
            f"This metric needs {package}, which the lab's environment has; run `make setup-lab`."
        ) from error
