"""Findings about cards, in the Hub's wording."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import (
    DatasetCardData,
    EvalResult,
    ModelCard,
    ModelCardData,
    SpaceCardData,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.features.repos.cards.findings import MAX_MESSAGES
from llmos.features.repos.cards.libraries import LIBRARIES
from llmos.features.repos.cards.licenses import LICENSES
from llmos.features.repos.cards.tasks import PIPELINE_TAGS, SUBTASKS, TASK_CATEGORIES
from llmos.features.repos.cards.validate import CardReport, validate_card


def check(yaml_text: str, repo_type: str = "model") -> CardReport:
    return validate_card(f"---\n{yaml_text}\n---\n# Tiny\n", repo_type)


@pytest.mark.parametrize("text", ["# Tiny", "", "---\n---\n"])
def test_missing_front_matter_is_a_warning(text: str) -> None:
    report = validate_card(text, "model")
    assert report == CardReport([], ["empty or missing yaml metadata in repo card"])


def test_unknown_license_lists_the_known_ones() -> None:
    (error,) = check("license: asdf").errors
    assert error.startswith('"license" must be one of [apache-2.0, mit, openrail, ')


MODEL_ERRORS = [
    ("license: 3", '"license" must be one of'),
    ("license: [mit, nope]", '"license[1]" must be one of'),
    ("language: english", '"language" with value "english" is not valid'),
    ("language: [en, EN]", '"language[1]" must only contain lowercase characters'),
    ("language: [en, 5]", '"language[1]" must be a string'),
    ("tags: tiny", '"tags" must be an array'),
    ("tags: [tiny, {a: b}]", '"tags[1]" must be a string'),
    ("tags: ['']", '"tags[0]" is not allowed to be empty'),
    ("pipeline_tag: [text-generation]", '"pipeline_tag" must be a string'),
    ("base_model: /home/ada/out", '"base_model" with value "/home/ada/out" is not valid'),
    ("base_model: [ada/tiny-llm, a/b/c]", '"base_model[1]" with value "a/b/c"'),
    ("base_model: ada/tiny--llm", '"base_model" with value'),
    ("base_model_relation: cousin", '"base_model_relation" must be one of [adapter, merge'),
    ("datasets: [ada/corpus, 'my corpus']", '"datasets[1]" with value "my corpus"'),
    ("new_version: a/b/c", '"new_version" must be a model id'),
    ("co2_eq_emissions: lots", '"co2_eq_emissions" must be a number'),
    ("co2_eq_emissions: {source: x}", '"co2_eq_emissions.emissions" must be a number'),
    ("co2_eq_emissions: {emissions: 1, source: 2}", '"co2_eq_emissions.source" must be a string'),
    ("model-index: 3", '"model-index" must be an array'),
    ("model-index: [{results: []}]", '"model-index[0].name" is required'),
    ("model-index: [{name: tiny}]", '"model-index[0].results" is required'),
    (
        "model-index: [{name: t, results: [{task: {name: x}, metrics: []}]}]",
        '"model-index[0].results[0].task.type" is required',
    ),
    (
        "model-index: [{name: t, results: [{task: {type: x}, dataset: {type: a, name: b},"
        " metrics: [{type: acc}]}]}]",
        '"model-index[0].results[0].metrics[0].value" is required',
    ),
    ("extra_gated_fields: yes", '"extra_gated_fields" must be a mapping'),
    ("extra_gated_fields: {Name: number}", '"extra_gated_fields.Name" must be one of [text'),
    ("extra_gated_fields: {Use: {type: select}}", '"extra_gated_fields.Use.options" must be'),
    ("extra_gated_fields: {Use: {type: radio}}", '"extra_gated_fields.Use.type" must be one of'),
    ("license: mit\nlicense: mit", 'duplicated key "license"'),
    ("a: [", "invalid yaml metadata in repo card: "),
    ("- a", "invalid yaml metadata in repo card: "),
]


@pytest.mark.parametrize(("yaml_text", "start"), MODEL_ERRORS)
def test_model_errors(yaml_text: str, start: str) -> None:
    assert any(error.startswith(start) for error in check(yaml_text).errors), check(yaml_text)


@pytest.mark.parametrize(
    "yaml_text",
    [
        "license: mit",
        "language: no",
        "language: [en, zh, yue, eng, ger, multilingual, code, zh-Hant]",
        "base_model: bert-base-uncased\nbase_model_relation: finetune",
        "base_model: [ada/a, grace/b]",
        "model-index: [{name: tiny, results: []}]",
        "co2_eq_emissions: 12.5",
        "co2_eq_emissions: {emissions: 1, training_type: pre-training, hardware_used: 1 CPU}",
        "extra_gated_fields: {Name: text, I agree: checkbox, Day: date_picker, Land: country,"
        " Use: {type: select, options: [Study, {label: Other, value: other}]}}",
        "extra_gated_fields: [{Name: text}, {Mail: text}]",
        "metrics: [accuracy, {type: wer, value: 3}]",
        "some_unknown_key: {a: [1]}",
        "tags:",
    ],
)
def test_valid_model_cards(yaml_text: str) -> None:
    assert check(yaml_text) == CardReport([], [])


@pytest.mark.parametrize(
    ("yaml_text", "part"),
    [
        ("license: other", '"license_name" is required'),
        ("license: other\nlicense_name: own", '"license_link" is required'),
        ("pipeline_tag: mind-reading", '"pipeline_tag" with value "mind-reading" is not in'),
        ("language: pt-BR", '"language" with value "pt-BR" is not an ISO 639 code'),
    ],
)
def test_model_warnings(yaml_text: str, part: str) -> None:
    report = check(yaml_text)
    assert report.errors == []
    assert any(part in warning for warning in report.warnings)


def test_other_license_with_name_and_link_is_silent() -> None:
    assert check("license: other\nlicense_name: own\nlicense_link: LICENSE") == CardReport([], [])


@pytest.mark.parametrize(
    ("yaml_text", "start"),
    [
        ("configs: {}", '"configs" must be an array'),
        ("configs: [{data_dir: x}]", '"configs[0].config_name" is required'),
        ("configs: [{config_name: a}, {config_name: a}]", '"configs[1].config_name" repeats "a"'),
        ("configs: [{config_name: a, data_files: 3}]", '"configs[0].data_files" must be an array'),
        (
            "configs: [{config_name: a, data_files: [{path: x}]}]",
            '"configs[0].data_files[0].split" is required',
        ),
        ("configs: [{config_name: a, default: 1}]", '"configs[0].default" must be a boolean'),
        ("task_categories: {a: b}", '"task_categories" must be an array'),
    ],
)
def test_dataset_errors(yaml_text: str, start: str) -> None:
    assert any(error.startswith(start) for error in check(yaml_text, "dataset").errors)


def test_dataset_values_off_the_list_are_warnings() -> None:
    report = check("task_categories: [chess]\nsize_categories: huge", "dataset")
    assert report.errors == []
    assert report.warnings[0].startswith('The task_categories "chess" is not in the official list')
    assert report.warnings[1].startswith('The size_categories "huge" is not in the official list')


def test_valid_dataset_card() -> None:
    text = """configs:
- config_name: default
  default: true
  data_files:
  - split: train
    path: ["data/train-*.parquet", more.parquet]
  - split: test
    path: test.csv
- config_name: raw
  data_files: "raw/*.txt"
  sep: ";"
language: [en, zh]
license: [mit, cc-by-4.0]
task_categories: [text-generation, multiple-choice]
task_ids: [language-modeling]
size_categories: n<1K"""
    assert check(text, "dataset") == CardReport([], [])


@pytest.mark.parametrize(
    ("yaml_text", "start"),
    [
        ("sdk: flask", '"sdk" must be one of [gradio, docker, static, streamlit]'),
        ("sdk: static\ncolorFrom: mauve", '"colorFrom" must be one of [red, yellow'),
        ("sdk: static\nemoji: hello", '"emoji" must be a single emoji'),
        ("sdk: docker\napp_port: 99999", '"app_port" must be a port number'),
        ("sdk: static\nmodels: ada/tiny-llm", '"models" must be an array'),
        ("sdk: static\npinned: 1", '"pinned" must be a boolean'),
        ("sdk: static\nbase_path: home", '"base_path" must start with "/"'),
    ],
)
def test_space_errors(yaml_text: str, start: str) -> None:
    assert any(error.startswith(start) for error in check(yaml_text, "space").errors)


@pytest.mark.parametrize("emoji", ["🚀", "👩‍🔬", "🇫🇷", "❤️", "1️⃣", "👍🏽"])
def test_space_emoji(emoji: str) -> None:
    text = f"title: Tiny\nemoji: {emoji}\ncolorFrom: red\ncolorTo: pink\nsdk: gradio"
    assert check(text, "space") == CardReport([], [])


def test_space_without_sdk_is_warned() -> None:
    assert check("title: Tiny", "space").warnings[0].startswith('"sdk" is missing')


def test_lists_hold_what_the_hub_lists() -> None:
    assert {"apache-2.0", "mit", "llama3.3", "gemma", "other", "openrail++"} <= LICENSES.keys()
    assert len(LICENSES) >= 80
    assert {"text-generation", "fill-mask", "any-to-any", "robotics"} <= PIPELINE_TAGS.keys()
    assert {"multiple-choice", "text-retrieval"} <= TASK_CATEGORIES.keys() - PIPELINE_TAGS.keys()
    assert set(SUBTASKS.values()) <= TASK_CATEGORIES.keys()
    assert SUBTASKS["closed-domain-qa"] == "question-answering"
    assert {"transformers", "peft", "mlx", "gguf", "spacy", "llama.cpp"} <= LIBRARIES.keys()
    assert len(LIBRARIES) >= 60


def test_messages_are_capped() -> None:
    report = check("tags: [" + "1, " * 10_000 + "]")
    assert len(report.errors) == MAX_MESSAGES


def test_client_made_cards_pass() -> None:
    result = EvalResult(
        task_type="text-generation",
        dataset_type="ada/tiny-bench",
        dataset_name="Tiny",
        metric_type="perplexity",
        metric_value=12.5,
        source_name="log",
        source_url="https://example.org/log",
    )
    model = ModelCardData(
        language=["en", "no"],
        license="apache-2.0",
        library_name="transformers",
        tags=["tiny"],
        datasets=["ada/tiny-corpus"],
        base_model="ada/base",
        metrics=["perplexity"],
        model_name="tiny-llm",
        eval_results=[result],
    )
    assert check(model.to_yaml()) == CardReport([], [])
    dataset = DatasetCardData(
        language="zh",
        license="cc-by-4.0",
        pretty_name="Tiny",
        task_categories=["text-generation"],
        size_categories="n<1K",
        multilinguality="monolingual",
    )
    assert check(dataset.to_yaml(), "dataset") == CardReport([], [])
    space = SpaceCardData(title="Tiny", sdk="gradio", license="mit", models=["ada/tiny-llm"])
    assert check(space.to_yaml(), "space") == CardReport([], [])


def test_client_template_card_passes() -> None:
    card = ModelCard.from_template(ModelCardData(license="mit"), model_id="ada/tiny-llm")
    assert validate_card(str(card), "model") == CardReport([], [])


_keys = st.sampled_from(
    [
        *(
            "license",
            "language",
            "tags",
            "base_model",
            "datasets",
        ),
        *(
            "model-index",
            "name",
            "results",
            "task",
            "dataset",
        ),
        *(
            "metrics",
            "type",
            "value",
            "source",
            "url",
        ),
        *(
            "configs",
            "config_name",
            "data_files",
            "split",
            "path",
        ),
        *(
            "extra_gated_fields",
            "options",
            "sdk",
            "emoji",
            "app_port",
        ),
        *(
            "co2_eq_emissions",
            "emissions",
            "pipeline_tag",
            "widget",
            "library_name",
        ),
    ]
)
_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_keys, _values), st.sampled_from(["model", "dataset", "space", "code"]))
def test_any_metadata_gets_a_report(data: dict[str, object], repo_type: str) -> None:
    report = check(yaml.safe_dump(data), repo_type)
    assert all(isinstance(message, str) for message in report.errors + report.warnings)
