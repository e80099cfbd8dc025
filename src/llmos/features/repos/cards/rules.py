"""What each repository type adds to the checks of a card."""

from __future__ import annotations

import unicodedata
from typing import Any

from llmos.features.repos.cards.findings import Findings, is_repo_id, shorten
from llmos.features.repos.cards.tasks import (
    PIPELINE_TAGS,
    SIZE_CATEGORIES,
    SUBTASKS,
    TASK_CATEGORIES,
)

BASE_MODEL_RELATIONS = ("adapter", "merge", "quantized", "finetune")
SPACE_SDKS = ("gradio", "docker", "static", "streamlit")
SPACE_COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
_MODEL = "ada/tiny-llm"
_DATASET = "ada/tiny-corpus"


def check_model(found: Findings, data: dict[str, Any]) -> None:
    """Model cards: task, lineage, training data, `model-index`, emissions."""
    if "library_name" in data:
        found.text("library_name", data["library_name"])
    task = data.get("pipeline_tag")
    if task is not None and found.text("pipeline_tag", task) and task not in PIPELINE_TAGS:
        found.warn(
            f'"pipeline_tag" with value "{shorten(task)}" is not in the official list: '
            f"{', '.join(PIPELINE_TAGS)}"
        )
    if "base_model" in data:
        found.repo_ids("base_model", data["base_model"], _MODEL)
    if "base_model_relation" in data:
        found.one_of("base_model_relation", data["base_model_relation"], BASE_MODEL_RELATIONS)
    newer = data.get("new_version")
    if newer is not None and found.text("new_version", newer) and not is_repo_id(newer):
        found.error(f'"new_version" must be a model id such as {_MODEL}')
    if "datasets" in data:
        found.repo_ids("datasets", data["datasets"], _DATASET)
    if "metrics" in data:
        _check_metric_names(found, data["metrics"])
    if "co2_eq_emissions" in data:
        _check_emissions(found, data["co2_eq_emissions"])
    if "model-index" in data:
        _check_model_index(found, data["model-index"])


def _check_metric_names(found: Findings, value: Any) -> None:
    if isinstance(value, list):
        # Old cards hold whole results here; only their type is asked for.
        value = [item.get("type") if isinstance(item, dict) else item for item in value]
    found.texts("metrics", value)


def _check_emissions(found: Findings, value: Any) -> None:
    grams = value.get("emissions") if isinstance(value, dict) else value
    path = "co2_eq_emissions.emissions" if isinstance(value, dict) else "co2_eq_emissions"
    if isinstance(grams, bool) or not isinstance(grams, (int, float)) or grams < 0:
        found.error(f'"{path}" must be a number of grams of CO2 equivalent')
    if isinstance(value, dict):
        for key in ("source", "training_type", "geographical_location", "hardware_used"):
            if value.get(key) is not None:
                found.text(f"co2_eq_emissions.{key}", value[key])


def _check_model_index(found: Findings, value: Any) -> None:
    for i, model in enumerate(found.array("model-index", value)):
        path = f"model-index[{i}]"
        entry = found.mapping(path, model)
        if entry is None:
            continue
        found.required_text(path, entry, "name")
        if entry.get("results") is None:
            found.error(f'"{path}.results" is required')
            continue
        for j, result in enumerate(found.array(f"{path}.results", entry["results"])):
            _check_result(found, f"{path}.results[{j}]", result)


def _check_result(found: Findings, path: str, value: Any) -> None:
    result = found.mapping(path, value)
    if result is None:
        return
    for key, needed in (("task", ("type",)), ("dataset", ("type", "name"))):
        if result.get(key) is None:
            found.error(f'"{path}.{key}" is required')
        elif (part := found.mapping(f"{path}.{key}", result[key])) is not None:
            for name in needed:
                found.required_text(f"{path}.{key}", part, name)
    _check_metrics(found, f"{path}.metrics", result.get("metrics"))
    source = result.get("source")
    if source is not None and found.mapping(f"{path}.source", source) is not None:
        found.required_text(f"{path}.source", source, "url")


def _check_metrics(found: Findings, path: str, value: Any) -> None:
    if value is None:
        found.error(f'"{path}" is required')
        return
    for i, item in enumerate(found.array(path, value)):
        metric = found.mapping(f"{path}[{i}]", item)
        if metric is not None:
            found.required_text(f"{path}[{i}]", metric, "type")
            # A value that is not finite is read as null, and the Hub keeps it.
            if "value" not in metric:
                found.error(f'"{path}[{i}].value" is required')


def check_dataset(found: Findings, data: dict[str, Any]) -> None:
    """Data set cards: facets against the official lists (warnings), `configs`."""
    lists = (
        ("task_categories", TASK_CATEGORIES),
        ("task_ids", SUBTASKS),
        ("size_categories", (*SIZE_CATEGORIES, "unknown")),
    )
    for key, official in lists:
        for _, value in found.texts(key, data[key]) if key in data else []:
            if value not in official:
                found.warn(f'The {key} "{shorten(value)}" is not in the official list: {", ".join(official)}')
    free = ("annotations_creators", "language_creators", "multilinguality", "source_datasets")
    for key in free:
        if key in data:
            found.texts(key, data[key])
    if "configs" in data:
        _check_configs(found, data["configs"])


def _check_configs(found: Findings, value: Any) -> None:
    seen: set[str] = set()
    for i, item in enumerate(found.array("configs", value)):
        path = f"configs[{i}]"
        config = found.mapping(path, item)
        if config is None:
            continue
        found.required_text(path, config, "config_name")
        name = config.get("config_name")
        if isinstance(name, str) and name in seen:
            found.error(f'"{path}.config_name" repeats "{shorten(name)}"; names must differ')
        elif isinstance(name, str):
            seen.add(name)
        if config.get("data_files") is not None:
            _check_data_files(found, f"{path}.data_files", config["data_files"])
        if config.get("data_dir") is not None:
            found.text(f"{path}.data_dir", config["data_dir"])
        if not isinstance(config.get("default", False), bool):
            found.error(f'"{path}.default" must be a boolean')


def _check_data_files(found: Findings, path: str, value: Any) -> None:
    if isinstance(value, str):
        found.text(path, value)
        return
    for i, item in enumerate(found.array(path, value)):
        where = f"{path}[{i}]"
        if not isinstance(item, dict):
            found.text(where, item)
            continue
        found.required_text(where, item, "split")
        if item.get("path") is None:
            found.error(f'"{where}.path" is required')
        else:
            found.texts(f"{where}.path", item["path"])


def check_space(found: Findings, data: dict[str, Any]) -> None:
    """Space cards: how the app is run and how its tile looks."""
    if "sdk" in data:
        found.one_of("sdk", data["sdk"], SPACE_SDKS)
    elif data:
        found.warn(f'"sdk" is missing; the app needs one of [{", ".join(SPACE_SDKS)}]')
    for key in ("colorFrom", "colorTo"):
        if key in data:
            found.one_of(key, data[key], SPACE_COLORS)
    for key, example in (("models", _MODEL), ("datasets", _DATASET)):
        if key in data:
            found.repo_ids(key, data[key], example, single=False)
    _check_app(found, data)


def _check_app(found: Findings, data: dict[str, Any]) -> None:
    if "emoji" in data and found.text("emoji", data["emoji"]) and not _is_emoji(data["emoji"]):
        found.error('"emoji" must be a single emoji')
    if "app_file" in data:
        found.text("app_file", data["app_file"])
    port = data.get("app_port", 7860)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        found.error('"app_port" must be a port number from 1 to 65535')
    for key in ("pinned", "fullWidth", "hf_oauth"):
        if not isinstance(data.get(key, False), bool):
            found.error(f'"{key}" must be a boolean')
    base_path = data.get("base_path", "/")
    if not isinstance(base_path, str) or not base_path.startswith("/"):
        found.error('"base_path" must start with "/"')


def _is_emoji(text: str) -> bool:
    """Whether the text is one pictograph, alone or joined, or a flag or keycap."""
    joiners = {"\u200d", "\ufe0f", "\u20e3"}
    keycap = text[:1] in "0123456789#*" and text.endswith("\u20e3")
    symbols = [char for char in text if char not in joiners]
    if not symbols or len(text) > 16 or keycap:
        return keycap and len(text) <= 3
    return all(
        unicodedata.category(char) in ("So", "Sk", "Cn") or "\U000e0020" <= char <= "\U000e007f"
        for char in symbols
    )
