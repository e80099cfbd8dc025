"""Names of kinds of tasks for readers."""

from __future__ import annotations

from llmos.infra.i18n import Locale, lazy, localize

_KINDS = {
    "perplexity": lazy("Language modelling"),
    "multiple_choice": lazy("Multiple choice"),
    "loglikelihood": lazy("Continuation"),
    "loglikelihood_rolling": lazy("Language modelling"),
    "generation": lazy("Generation"),
    "generate_until": lazy("Generation"),
    "classification": lazy("Classification"),
    "tagging": lazy("Tagging"),
    "qa": lazy("Question answering"),
    "translation": lazy("Translation"),
    "summarisation": lazy("Summarisation"),
    "chat": lazy("Chat"),
}


def kind_label(kind: str, locale: Locale) -> str:
    """The kind in the reader's words; as it is written where nobody has a word for it."""
    return localize(_KINDS[kind], locale) if kind in _KINDS else kind.replace("_", " ")
