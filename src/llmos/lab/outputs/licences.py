"""The licence of a model made from others' models and data. A help to think, not legal advice.

Whether weights are a derived work of their training data is not settled law; this follows what most
publishers do: a model carries the strictest terms of what it was made from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# From the freest to the strictest; a result takes the last one that occurs.
_PERMISSIVE = (
    "cc0-1.0", "pddl", "unlicense", "wtfpl", "0bsd", "isc", "mit", "bsd", "bsd-2-clause", "bsd-3-clause",
    "zlib", "bsl-1.0", "postgresql", "ncsa", "artistic-2.0", "afl-3.0", "apache-2.0", "cdla-permissive-2.0",
    "cdla-permissive-1.0", "odc-by", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0",
)  # fmt: skip
# Copyleft that goes into other copyleft: (A, B) means that a whole with parts under A may be under B.
_GOES_INTO = {
    ("mpl-2.0", "gpl-3.0"), ("mpl-2.0", "gpl-2.0"), ("mpl-2.0", "agpl-3.0"), ("mpl-2.0", "lgpl-3.0"),
    ("lgpl-2.1", "gpl-2.0"), ("lgpl-2.1", "gpl-3.0"), ("lgpl-3.0", "gpl-3.0"), ("lgpl-3.0", "agpl-3.0"),
    ("gpl-3.0", "agpl-3.0"), ("cc-by-sa-4.0", "gpl-3.0"), ("cc-by-sa-3.0", "cc-by-sa-4.0"),
    ("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
}  # fmt: skip


@dataclass(frozen=True)
class Inherited:
    """The licence for the card, and what a person has to look at."""

    licence: str
    warnings: list[str] = field(default_factory=list)


def inherit(parts: Iterable[tuple[str, str | None]], chosen: str | None = None) -> Inherited:
    """The licence of what was made from `parts`, pairs of name and licence as cards write it.

    `chosen` is what the person wants; it is kept, with a warning where a part does not allow it.
    Without it the strictest licence of the parts counts, and "other" where they contradict.
    """
    known = [(name, licence.lower()) for name, licence in parts if licence]
    unknown = [name for name, licence in parts if not licence]
    warnings = [f"{name} does not say its licence: ask its owner before publishing." for name in unknown]
    warnings += [
        f"{name} is {licence}, which forbids passing on derived works."
        for name, licence in known
        if "-nd" in licence
    ]
    binding = _binding(known)
    warnings += _conflicts(binding)
    inherited = _strictest(known, binding, bool(unknown))
    if chosen is None:
        return Inherited(inherited if not _conflicts(binding) else "other", warnings)
    warnings += [
        f"The model is to be {chosen}, but {name} is {licence}: a model made from it must keep these terms."
        for name, licence in binding
        if not _may_go(licence, chosen.lower())
    ]
    if any("-nc" in licence for _, licence in known) and "-nc" not in chosen.lower() and not binding:
        warnings.append(f"{chosen} allows commercial use, which a part does not.")
    return Inherited(chosen, warnings)


def _binding(known: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Parts whose terms the result has to bear: copyleft, and licences written for one model."""
    return [
        (name, licence) for name, licence in known if licence not in _PERMISSIVE and not _only_nc(licence)
    ]


def _only_nc(licence: str) -> bool:
    return licence.startswith(("cc-by-nc-2", "cc-by-nc-3", "cc-by-nc-4"))


def _may_go(licence: str, target: str) -> bool:
    return licence == target or (licence, target) in _GOES_INTO


def _conflicts(binding: list[tuple[str, str]]) -> list[str]:
    found = []
    for n, (name, licence) in enumerate(binding):
        for other, theirs in binding[n + 1 :]:
            if not _may_go(licence, theirs) and not _may_go(theirs, licence):
                found.append(
                    f"{name} ({licence}) and {other} ({theirs}) both want their own terms on the whole: "
                    "a model made from both may not be passed on without leave of one of them."
                )
    return found


def _strictest(known: list[tuple[str, str]], binding: list[tuple[str, str]], unknown: bool) -> str:
    names = {licence for _, licence in binding}
    for licence in names:
        if all(_may_go(other, licence) for other in names):
            return licence
    non_commercial = sorted(licence for _, licence in known if _only_nc(licence))
    if non_commercial:
        return non_commercial[-1]
    ranked = sorted((licence for _, licence in known if licence in _PERMISSIVE), key=_PERMISSIVE.index)
    return ranked[-1] if ranked and not unknown else "other"
