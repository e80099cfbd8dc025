"""What a licence allows, in one plain sentence. No legal advice: the licence itself counts."""

from __future__ import annotations

from llmos.infra.i18n import LazyString, lazy

_FREE = lazy("Use, change and sell it; keep the notice of the authors.")
_PUBLIC = lazy("Do what you like with it, without conditions.")
_NAMED = lazy("Use, change and sell it; name the authors.")
_ALIKE = lazy("Use, change and sell it; name the authors and share changes under the same terms.")
_COPYLEFT = lazy("Use, change and sell it; who gives it on gives the source under the same terms.")
_NETWORK = lazy("As the GPL, and who offers it over a network gives the source, too.")
_WEAK = lazy("Use it in anything; changes of its own files stay under the same terms.")
_NO_TRADE = lazy("Use and change it, but not for business; name the authors.")
_NO_TRADE_ALIKE = lazy("Use and change it, not for business; share changes under the same terms.")
_NO_CHANGES = lazy(
    "Pass it on as it is, with the names of the authors; changed versions may not be published."
)
_NO_CHANGES_NO_TRADE = lazy("Pass it on as it is, not for business; changed versions may not be published.")
_RULES = lazy("Use, change and sell it, except for the uses its terms forbid; pass these terms on.")
_COMMUNITY = lazy("Free within the maker's terms: limits for large companies and forbidden uses.")
_RESEARCH = lazy("For research only, not for business.")
_ASK = lazy("Its terms are not a standard licence: read them before you use it.")

_FAMILIES: dict[str, LazyString] = {
    "agpl": _NETWORK, "apache": _FREE, "apple": _RESEARCH, "artistic": _FREE, "bsd": _FREE, "bsl": _FREE,
    "cc-by-nc-nd": _NO_CHANGES_NO_TRADE, "cc-by-nc-sa": _NO_TRADE_ALIKE, "cc-by-nc": _NO_TRADE,
    "cc-by-nd": _NO_CHANGES, "cc-by-sa": _ALIKE, "cc-by": _NAMED, "cc0": _PUBLIC, "cdla-permissive": _NAMED,
    "cdla-sharing": _ALIKE, "deepfloyd": _RESEARCH, "ecl": _FREE, "epl": _WEAK, "etalab": _NAMED,
    "eupl": _COPYLEFT, "fair-noncommercial": _RESEARCH, "gemma": _COMMUNITY, "gfdl": _ALIKE, "gpl": _COPYLEFT,
    "grok": _COMMUNITY, "intel-research": _RESEARCH, "h-research": _RESEARCH, "isc": _FREE, "lgpl": _WEAK,
    "llama": _COMMUNITY, "mit": _FREE, "mpl": _WEAK, "ms-pl": _FREE, "ncsa": _FREE, "odbl": _ALIKE,
    "odc-by": _NAMED, "ofl": _FREE, "openmdw": _FREE, "osl": _NETWORK, "pddl": _PUBLIC, "postgresql": _FREE,
    "unlicense": _PUBLIC, "wtfpl": _PUBLIC, "zlib": _FREE, "afl": _FREE, "other": _ASK, "unknown": _ASK,
    "bigscience": _RULES, "bigcode": _RULES, "creativeml": _RULES, "openrail": _RULES,
}  # fmt: skip
# The longest beginning decides: cc-by-nc before cc-by.
_BY_LENGTH = sorted(_FAMILIES, key=len, reverse=True)


def licence_words(license_id: str) -> LazyString | None:
    """One sentence on what the licence allows; None for one nobody described."""
    key = license_id.lower()
    family = next((name for name in _BY_LENGTH if key.startswith(name)), None)
    return _FAMILIES[family] if family else None
