"""What the index and the API know about a repository from its card, files and `config.json`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmos.features.repos.cards.data_facts import DATASET_KEYS, data_tags
from llmos.features.repos.cards.findings import is_repo_id
from llmos.features.repos.cards.languages import is_bcp47, is_language
from llmos.features.repos.cards.model_facts import (
    base_models,
    config_summary,
    curve_tags,
    infer_library,
    infer_pipeline_tag,
    mask_token,
    model_format_tags,
    transformers_info,
)
from llmos.features.repos.cards.validate import gated_fields
from llmos.features.repos.cards.values import as_map, as_text, as_texts, unique

MAX_TAGS = 500
_ARXIV = re.compile(
    r"(?:arxiv\.org/(?:abs|pdf|html)/|/papers/|arxiv:\s?)(\d{4}\.\d{4,5})(?!\d)", re.IGNORECASE
)


@dataclass(frozen=True)
class GatedForm:
    """What a reader must agree to and fill in before content is shown."""

    prompt: str | None = None
    heading: str | None = None
    description: str | None = None
    button: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    eu_disallowed: bool = False


@dataclass(frozen=True)
class CardFacts:
    """Facts ready for columns, facets and the API; every value is JSON-able and well typed."""

    tags: tuple[str, ...] = ()
    title: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    languages: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    arxiv_ids: tuple[str, ...] = ()
    thumbnail: str | None = None
    gated_form: GatedForm = field(default_factory=GatedForm)
    pipeline_tag: str | None = None
    library_name: str | None = None
    base_models: tuple[tuple[str, str], ...] = ()
    """`(model id, relation)`; relation is adapter, merge, quantized or finetune."""
    new_version: str | None = None
    model_index: list[dict[str, Any]] | None = None
    transformers_info: dict[str, str] | None = None
    config: dict[str, Any] | None = None
    mask_token: str | None = None
    emissions_grams: float | None = None
    widget_data: list[Any] | None = None
    sdk: str | None = None


def card_facts(
    card: Mapping[str, Any],
    repo_type: str,
    text: str = "",
    file_names: Iterable[str] = (),
    config: Mapping[str, Any] | None = None,
    *,
    tokenizer_config: Mapping[str, Any] | None = None,
) -> CardFacts:
    """Facts of a repository; values of the wrong type are left out, nothing is refused.

    `card` is the front matter, `text` the Markdown below it (for arXiv links), `file_names`
    all paths of the revision, `config` and `tokenizer_config` the parsed JSON files of a model.
    """
    names = tuple(file_names)
    common = _common(card, text)
    if repo_type == "model":
        return _model_facts(card, common, names, config or {}, tokenizer_config or {})
    if repo_type == "dataset":
        tags = [f"{key}:{value}" for key in DATASET_KEYS for value in as_texts(card.get(key))]
        tags += [f"language:{code}" for code in common["languages"]]
        tags += [*_common_tags(common), *as_texts(card.get("tags")), *data_tags(names)]
        tags += curve_tags(names)
        return CardFacts(tags=_limit(tags), **common)
    sdk = as_text(card.get("sdk")) if repo_type == "space" else None
    tags = [sdk] if sdk else []
    tags += [*as_texts(card.get("tags")), *_common_tags(common), *curve_tags(names)]
    return CardFacts(tags=_limit(tags), sdk=sdk, **common)


def _common(card: Mapping[str, Any], text: str) -> dict[str, Any]:
    def ids(key: str) -> tuple[str, ...]:
        return unique(item for item in as_texts(card.get(key)) if is_repo_id(item))

    licenses = as_texts(card.get("license"))
    declared = [tag for tag in as_texts(card.get("tags")) if tag.startswith("arxiv:")]
    return {
        "title": as_text(card.get("pretty_name")) or as_text(card.get("title")),
        "license": licenses[0].lower() if licenses else None,
        "license_name": as_text(card.get("license_name")),
        "license_link": as_text(card.get("license_link")),
        "languages": unique(c for c in as_texts(card.get("language")) if _is_code(c)),
        "datasets": ids("datasets"),
        "models": ids("models"),
        "metrics": _metric_names(card.get("metrics")),
        "arxiv_ids": unique(_ARXIV.findall(" ".join([text, *declared])))[:100],
        "thumbnail": as_text(card.get("thumbnail")),
        "gated_form": _gated_form(card),
    }


def _is_code(code: str) -> bool:
    return is_language(code) or is_bcp47(code)


def _metric_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, list):
        value = [item.get("type") if isinstance(item, dict) else item for item in value]
    return as_texts(value)


def _gated_form(card: Mapping[str, Any]) -> GatedForm:
    return GatedForm(
        prompt=as_text(card.get("extra_gated_prompt")),
        heading=as_text(card.get("extra_gated_heading")),
        description=as_text(card.get("extra_gated_description")),
        button=as_text(card.get("extra_gated_button_content")),
        fields=gated_fields(card.get("extra_gated_fields")),
        eu_disallowed=card.get("extra_gated_eu_disallowed") is True,
    )


def _common_tags(common: Mapping[str, Any]) -> list[str]:
    tags = [f"arxiv:{paper}" for paper in common["arxiv_ids"]]
    return tags + ([f"license:{common['license']}"] if common["license"] else [])


def _model_facts(
    card: Mapping[str, Any],
    common: dict[str, Any],
    names: tuple[str, ...],
    config: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
) -> CardFacts:
    library = infer_library(card, names, config)
    task = infer_pipeline_tag(card, library, config, tokenizer_config)
    info = transformers_info(task, names, config) if library == "transformers" else None
    bases = base_models(card, library, names, config)
    index = card.get("model-index")
    emissions = _emissions_grams(card.get("co2_eq_emissions"))
    tags = [library] if library else []
    tags += model_format_tags(names, config, tokenizer_config)
    tags += [task] if task else []
    tags += [*as_texts(card.get("tags")), *common["languages"]]
    tags += [f"dataset:{name}" for name in common["datasets"]]
    tags += _common_tags(common)
    tags += [f"base_model:{name}" for name, _ in bases]
    tags += [f"base_model:{relation}:{name}" for name, relation in bases]
    tags += ["model-index"] if index else []
    tags += ["co2_eq_emissions"] if emissions is not None else []
    widget = card.get("widget")
    return CardFacts(
        tags=_limit(tags),
        pipeline_tag=task,
        library_name=library,
        base_models=bases,
        new_version=as_text(card.get("new_version")),
        model_index=_normalise_index(index),
        transformers_info=info,
        config=config_summary(config, tokenizer_config),
        mask_token=mask_token(tokenizer_config),
        emissions_grams=emissions,
        widget_data=widget if isinstance(widget, list) else None,
        **common,
    )


def _emissions_grams(value: Any) -> float | None:
    grams = as_map(value).get("emissions") if isinstance(value, dict) else value
    if isinstance(grams, bool) or not isinstance(grams, (int, float)) or grams < 0:
        return None
    return float(grams)


def _normalise_index(value: Any) -> list[dict[str, Any]] | None:
    """The raw `model-index`, less anything that would break a client's reading of it."""
    if not isinstance(value, list):
        return None
    models = [m for m in value if isinstance(m, dict) and as_text(m.get("name"))]
    kept = [
        {**model, "results": [r for r in _list(model.get("results")) if _is_result(r)]} for model in models
    ]
    return kept or None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_result(value: Any) -> bool:
    result = as_map(value)
    metrics = result.get("metrics")
    dataset = as_map(result.get("dataset"))
    return (
        "type" in as_map(result.get("task"))
        and "type" in dataset
        and "name" in dataset
        and isinstance(metrics, list)
        and all("type" in as_map(m) and "value" in as_map(m) for m in metrics)
    )


def _limit(tags: Iterable[str]) -> tuple[str, ...]:
    return unique(tag for tag in tags if len(tag) <= 256)[:MAX_TAGS]
