"""What a model made of one sample: all that a metric may look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """One sample, answered. A task fills what its kind has; a metric says which fields it needs.

    `target` is what was wanted: the index of a choice (or several right ones), a label, a text, the tags
    of the words. `references` are wanted texts, for metrics that allow several. `source` is the text to
    be translated or summarised. `found` holds the tags that the model gave, one a word of `target`.
    `logprobs` are the summed log-probabilities (natural) of `choices`, in their order; `logprob` is that
    of the whole text, for language modelling, of `tokens` tokens (`unknown_tokens` of them outside the
    vocabulary), `words` words, `characters` characters and `size_bytes` bytes of UTF-8. `seconds` and
    `joules` are what answering took, the sample's share of what was asked with it; `joules` is None
    where the model runs on another machine, and estimated from processor time unless `is_metered`.
    """

    id: str = ""
    target: Any = None
    output: str = ""
    chosen: int = -1
    logprobs: Sequence[float] = ()
    choices: Sequence[str] = ()
    references: Sequence[str] = ()
    source: str = ""
    found: Sequence[str] = ()
    logprob: float | None = None
    tokens: int = 0
    unknown_tokens: int = 0
    words: int = 0
    characters: int = 0
    size_bytes: int = 0
    seconds: float | None = None
    joules: float | None = None
    is_metered: bool = False
    group: str = ""

    @property
    def wanted_texts(self) -> Sequence[str]:
        """`references`, or the target where it is the only one."""
        if self.references:
            return self.references
        if isinstance(self.target, str):
            return (self.target,)
        if isinstance(self.target, list | tuple) and all(isinstance(part, str) for part in self.target):
            return tuple(self.target)
        return ()
