"""Checking a card before it is committed (Hub protocol: `POST /api/validate-yaml`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmos.features.repos.cards.findings import Findings, shorten
from llmos.features.repos.cards.front_matter import read_card
from llmos.features.repos.cards.languages import is_bcp47, is_language
from llmos.features.repos.cards.licenses import LICENSES
from llmos.features.repos.cards.rules import check_dataset, check_model, check_space

GATED_FIELD_TYPES = ("text", "checkbox", "date_picker", "country", "select")
_EMPTY = "empty or missing yaml metadata in repo card"
_RULES = {"model": check_model, "dataset": check_dataset, "space": check_space}


@dataclass(frozen=True)
class CardReport:
    """What is wrong with a card; a card with any error must not be committed."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def validate_card(content: str | bytes, repo_type: str) -> CardReport:
    """Check the card's metadata as the Hub does; never raises on any content.

    Unknown keys pass. Values that clients write in practice but the Hub only advises against
    (an unlisted task, `license: other` without a name) are warnings. At most
    `findings.MAX_MESSAGES` messages of a kind come back.
    """
    card = read_card(content)
    found = Findings()
    if card.error is not None:
        found.error(f"invalid yaml metadata in repo card: {card.error}")
    elif not card.has_metadata:
        found.warn(_EMPTY)
    for key in card.duplicate_keys:
        found.error(f'duplicated key "{shorten(key)}" in yaml metadata; keep one')
    data = {key: value for key, value in card.data.items() if value is not None}
    _check_license(found, data)
    _check_language(found, data)
    if "tags" in data:
        found.texts("tags", data["tags"], single=False)
    for key in ("thumbnail", "pretty_name", "title", "extra_gated_prompt", "extra_gated_heading"):
        if key in data:
            found.text(key, data[key])
    if "extra_gated_fields" in data:
        _check_gated_fields(found, data["extra_gated_fields"])
    if repo_type in _RULES:
        _RULES[repo_type](found, data)
    return CardReport(found.errors, found.warnings)


def _check_license(found: Findings, data: dict[str, Any]) -> None:
    if "license" not in data:
        return
    value = data["license"]
    licenses = value if isinstance(value, list) else [value]
    for i, item in enumerate(licenses):
        found.one_of(f"license[{i}]" if isinstance(value, list) else "license", item, LICENSES)
    for key in ("license_name", "license_link"):
        if key in data:
            found.text(key, data[key])
        elif "other" in licenses:
            found.warn(f'"{key}" is required when "license" is "other"')


def _check_language(found: Findings, data: dict[str, Any]) -> None:
    if "language" not in data:
        return
    for path, code in found.texts("language", data["language"]):
        if is_language(code):
            continue
        hint = 'If you want to use BCP-47 identifiers, you can specify them in "language_bcp47".'
        if is_bcp47(code):
            found.warn(f'"{path}" with value "{code}" is not an ISO 639 code. {hint}')
        elif code != code.lower():
            found.error(f'"{path}" must only contain lowercase characters. {hint}')
        else:
            found.error(
                f'"{path}" with value "{shorten(code)}" is not valid. It must be an ISO 639-1, '
                "639-2 or 639-3 code (two/three letters), or a special value like "
                f'"code", "multilingual". {hint}'
            )


def gated_fields(value: Any) -> dict[str, Any]:
    """Fields of the access form by name; the older list of one-key mappings is read, too."""
    sources = value if isinstance(value, list) else [value]
    return {key: kind for part in sources if isinstance(part, dict) for key, kind in part.items()}


def _check_gated_fields(found: Findings, value: Any) -> None:
    if not isinstance(value, (dict, list)):
        found.error('"extra_gated_fields" must be a mapping of field names to types')
        return
    for name, kind in gated_fields(value).items():
        path = f"extra_gated_fields.{shorten(name, 60)}"
        if not isinstance(kind, dict):
            found.one_of(path, kind, [t for t in GATED_FIELD_TYPES if t != "select"])
            continue
        listed = found.one_of(f"{path}.type", kind.get("type"), GATED_FIELD_TYPES)
        if listed and kind["type"] == "select":
            _check_options(found, f"{path}.options", kind.get("options"))


def _check_options(found: Findings, path: str, value: Any) -> None:
    options = found.array(path, value)
    if isinstance(value, list) and not options:
        found.error(f'"{path}" must contain at least one option')
    for i, option in enumerate(options):
        if isinstance(option, dict):
            found.required_text(f"{path}[{i}]", option, "label")
        else:
            found.text(f"{path}[{i}]", option)
