"""Facts drawn from cards, file names and configurations."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCardData, EvalResult, ModelCardData
from huggingface_hub.hf_api import TransformersInfo
from huggingface_hub.repocard_data import model_index_to_eval_results
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.features.repos.cards.facts import CardFacts, card_facts
from llmos.features.repos.cards.front_matter import read_card


def facts_of(data: Any, repo_type: str = "model", **kwargs: Any) -> CardFacts:
    card = read_card(f"---\n{data.to_yaml()}\n---\n")
    return card_facts(card.data, repo_type, card.body, **kwargs)


def test_model_tags_follow_the_hub() -> None:
    data = ModelCardData(
        language=["en", "zh"],
        license="mit",
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["tiny", "arxiv:1910.09700"],
        datasets=["ada/tiny-corpus"],
        base_model="ada/base",
    )
    facts = facts_of(
        data,
        file_names=["README.md", "config.json", "model.safetensors", "runs/events.out.tfevents.1"],
        config={"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        tokenizer_config={"chat_template": "{{ messages }}"},
    )
    assert facts.tags == (
        *("transformers", "safetensors", "tensorboard", "llama", "conversational"),
        *("text-generation", "tiny", "arxiv:1910.09700", "en", "zh"),
        *("dataset:ada/tiny-corpus", "license:mit"),
        *("base_model:ada/base", "base_model:finetune:ada/base"),
    )
    assert facts.languages == ("en", "zh")
    assert facts.license == "mit"
    assert facts.datasets == ("ada/tiny-corpus",)


def test_dataset_tags_are_key_value() -> None:
    data = DatasetCardData(
        language=["en"],
        license="cc-by-4.0",
        pretty_name="Tiny Corpus",
        task_categories=["text-generation"],
        task_ids=["language-modeling"],
        size_categories="n<1K",
        multilinguality="monolingual",
        annotations_creators=["no-annotation"],
        tags=["books"],
    )
    facts = facts_of(data, "dataset", file_names=["data/a.parquet", "img/x.png", "README.md"])
    assert set(facts.tags) == {
        *("task_categories:text-generation", "task_ids:language-modeling", "size_categories:n<1K"),
        *("multilinguality:monolingual", "annotations_creators:no-annotation", "language:en"),
        *("license:cc-by-4.0", "books", "format:parquet", "modality:image"),
    }
    assert facts.title == "Tiny Corpus"


def test_folder_of_images_is_a_format() -> None:
    facts = card_facts({}, "dataset", file_names=["train/a.jpg", "train/b.jpg"])
    assert facts.tags == ("format:imagefolder", "modality:image")


def test_space_facts() -> None:
    card = {"sdk": "gradio", "title": "Tiny", "models": ["ada/tiny-llm"], "tags": ["demo"]}
    facts = card_facts(card, "space")
    assert (facts.sdk, facts.title, facts.models) == ("gradio", "Tiny", ("ada/tiny-llm",))
    assert facts.tags == ("gradio", "demo")


@pytest.mark.parametrize(
    ("architecture", "task", "auto_model"),
    [
        ("LlamaForCausalLM", "text-generation", "AutoModelForCausalLM"),
        ("GPT2LMHeadModel", "text-generation", "AutoModelForCausalLM"),
        ("BertForMaskedLM", "fill-mask", "AutoModelForMaskedLM"),
        ("BertForPreTraining", None, "AutoModelForPreTraining"),
        (
            "BertForSequenceClassification",
            "text-classification",
            "AutoModelForSequenceClassification",
        ),
        ("BertForTokenClassification", "token-classification", "AutoModelForTokenClassification"),
        ("BertForQuestionAnswering", "question-answering", "AutoModelForQuestionAnswering"),
        ("BertModel", "feature-extraction", "AutoModel"),
        ("Wav2Vec2ForCTC", "automatic-speech-recognition", "AutoModelForCTC"),
        ("ViTForImageClassification", "image-classification", "AutoModelForImageClassification"),
    ],
)
def test_task_is_inferred_from_architecture(architecture: str, task: str | None, auto_model: str) -> None:
    facts = card_facts({}, "model", config={"architectures": [architecture]})
    assert facts.library_name == "transformers"
    assert facts.pipeline_tag == task
    assert facts.transformers_info is not None
    assert TransformersInfo(**facts.transformers_info).auto_model == auto_model


def test_conditional_generation_is_told_apart_by_model_type() -> None:
    def task(**config: Any) -> str | None:
        config["architectures"] = ["XForConditionalGeneration"]
        return card_facts({}, "model", config=config).pipeline_tag

    assert task(model_type="t5") == "text2text-generation"
    assert task(model_type="whisper") == "automatic-speech-recognition"
    assert task(model_type="llava", vision_config={}) == "image-text-to-text"
    assert task(model_type="mystery") is None


def test_declared_values_beat_inferred_ones() -> None:
    card = {"pipeline_tag": "translation", "library_name": "keras", "tags": ["fill-mask", "peft"]}
    facts = card_facts(card, "model", config={"architectures": ["LlamaForCausalLM"]})
    assert (facts.pipeline_tag, facts.library_name) == ("translation", "keras")
    facts = card_facts({"tags": ["fill-mask", "peft"]}, "model")
    assert (facts.pipeline_tag, facts.library_name) == ("fill-mask", "peft")


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("adapter_config.json", "peft"),
        ("model_index.json", "diffusers"),
        ("modules.json", "sentence-transformers"),
        ("tiny.Q4_0.gguf", "gguf"),
        ("asr.nemo", "nemo"),
        ("tiny.mlmodel", "coreml"),
        ("tiny.keras", "keras"),
        ("notes.txt", None),
    ],
)
def test_library_from_files(name: str, library: str | None) -> None:
    assert card_facts({}, "model", file_names=[name]).library_name == library


@pytest.mark.parametrize(
    ("card", "names", "config", "relation"),
    [
        ({}, [], {}, "finetune"),
        ({"base_model_relation": "merge"}, ["a.gguf"], {}, "merge"),
        ({"base_model_relation": "cousin"}, [], {}, "finetune"),
        ({}, ["adapter_config.json"], {}, "adapter"),
        ({"tags": ["mergekit"]}, [], {}, "merge"),
        ({}, ["tiny.gguf"], {}, "quantized"),
        ({}, [], {"quantization_config": {"quant_method": "gptq"}}, "quantized"),
    ],
)
def test_relation_to_base_model(
    card: dict[str, Any], names: list[str], config: dict[str, Any], relation: str
) -> None:
    facts = card_facts({"base_model": "ada/base", **card}, "model", "", names, config)
    assert facts.base_models == (("ada/base", relation),)


def test_several_parents_are_a_merge() -> None:
    facts = card_facts({"base_model": ["ada/a", "grace/b", "not valid"]}, "model")
    assert facts.base_models == (("ada/a", "merge"), ("grace/b", "merge"))


def test_arxiv_links_in_text() -> None:
    text = "See https://arxiv.org/abs/1706.03762v5, arXiv:2005.14165 and /papers/2307.09288."
    facts = card_facts({}, "model", text)
    assert facts.arxiv_ids == ("1706.03762", "2005.14165", "2307.09288")
    assert "arxiv:1706.03762" in facts.tags


def test_model_index_round_trip() -> None:
    result = EvalResult(
        task_type="text-generation",
        dataset_type="ada/tiny-bench",
        dataset_name="Tiny",
        metric_type="perplexity",
        metric_value=12.5,
        verify_token="abc",
    )
    data = ModelCardData(model_name="tiny-llm", eval_results=[result])
    facts = facts_of(data)
    assert facts.model_index is not None
    assert model_index_to_eval_results(facts.model_index) == ("tiny-llm", [result])
    assert "model-index" in facts.tags


def test_damaged_model_index_is_cut_to_what_clients_read() -> None:
    good = {"task": {"type": "a"}, "dataset": {"type": "b", "name": "c"}, "metrics": []}
    index = [{"name": "tiny", "results": [good, {"task": {}}, "x"]}, {"results": 3}, 7]
    facts = card_facts({"model-index": index}, "model")
    assert facts.model_index == [{"name": "tiny", "results": [good]}]


def test_gated_form() -> None:
    card = {
        "extra_gated_prompt": "Be kind",
        "extra_gated_heading": "Ask",
        "extra_gated_button_content": "Send",
        "extra_gated_fields": [{"Name": "text"}, {"Use": {"type": "select", "options": ["a"]}}],
        "extra_gated_eu_disallowed": True,
    }
    form = card_facts(card, "dataset").gated_form
    assert (form.prompt, form.heading, form.button) == ("Be kind", "Ask", "Send")
    assert form.fields == {"Name": "text", "Use": {"type": "select", "options": ["a"]}}
    assert form.eu_disallowed


def test_config_summary_keeps_what_clients_read() -> None:
    facts = card_facts(
        {},
        "model",
        config={"architectures": ["BertForMaskedLM"], "model_type": "bert", "hidden_size": 8},
        tokenizer_config={"mask_token": {"content": "[MASK]"}, "bos_token": None, "vocab": 3},
    )
    assert facts.config == {
        "architectures": ["BertForMaskedLM"],
        "model_type": "bert",
        "tokenizer_config": {"mask_token": {"content": "[MASK]"}},
    }
    assert facts.mask_token == "[MASK]"


def test_smaller_facts() -> None:
    card = {
        "co2_eq_emissions": {"emissions": 3},
        "widget": [{"text": "hi"}],
        "thumbnail": "t.png",
        "new_version": "ada/tiny-2",
        "metrics": ["bleu", {"type": "wer"}],
    }
    facts = card_facts(card, "model")
    assert facts.emissions_grams == 3.0
    assert facts.widget_data == [{"text": "hi"}]
    assert (facts.thumbnail, facts.new_version) == ("t.png", "ada/tiny-2")
    assert facts.metrics == ("bleu", "wer")


_keys = st.sampled_from(
    [
        *(
            "license",
            "language",
            "tags",
            "base_model",
            "base_model_relation",
        ),
        *(
            "datasets",
            "model-index",
            "name",
            "results",
            "task",
        ),
        *(
            "dataset",
            "metrics",
            "type",
            "value",
            "extra_gated_fields",
        ),
        *(
            "sdk",
            "co2_eq_emissions",
            "emissions",
            "pipeline_tag",
            "widget",
        ),
        *(
            "library_name",
            "architectures",
            "model_type",
            "auto_map",
            "quantization_config",
        ),
        *("mask_token",),
    ]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=8,
)
_maps = st.dictionaries(_keys, _values)


@settings(max_examples=300, deadline=None)
@given(_maps, st.sampled_from(["model", "dataset", "space", "code"]), _maps, _maps)
def test_any_metadata_gives_facts(
    card: dict[str, Any], repo_type: str, config: dict[str, Any], tokens: dict[str, Any]
) -> None:
    card = read_card(f"---\n{yaml.safe_dump(card)}\n---\n").data
    facts = card_facts(card, repo_type, "text", ["a.gguf"], config, tokenizer_config=tokens)
    json.dumps(facts.config, allow_nan=False)
    assert all(isinstance(tag, str) and tag for tag in facts.tags)
