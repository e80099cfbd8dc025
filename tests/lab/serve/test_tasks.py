"""Vectors and tasks, in the shapes that InferenceClient parses, held against transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.inference._generated import types

from kit.chat_models import chat_model, head_model, word_tokenizer, writer_model
from lab.serve.conftest import Talk

NLI = ["contradiction", "entailment", "neutral"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
TEXT = "the old man and the sea"


def result(engine: Talk, task: str, inputs: Any, **parameters: Any) -> Any:
    frame = engine.ask("task", task=task, inputs=inputs, parameters=parameters)[-1]
    assert frame["event"] == "result", frame
    return frame["result"]


def refusal(engine: Talk, task: str, inputs: Any, **parameters: Any) -> str:
    frame = engine.ask("task", task=task, inputs=inputs, parameters=parameters)[-1]
    assert (frame["event"], frame["status"]) == ("error", 400)
    return str(frame["message"])


def test_texts_get_labels(tmp_path: Path, start: Callable[..., Talk]) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = head_model(tmp_path / "m", "SequenceClassification", NLI)
    engine = start(folder, task="text-classification")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    words = word_tokenizer()
    with torch.no_grad():
        wanted = torch.softmax(model(**words(TEXT, return_tensors="pt")).logits[0], dim=-1)
    found = types.TextClassificationOutputElement.parse_obj_as_list(
        result(engine, "text-classification", TEXT)
    )[0]
    assert {one.label: one.score for one in found} == pytest.approx(
        dict(zip(NLI, wanted.tolist(), strict=True))
    )
    assert len(result(engine, "text-classification", TEXT, top_k=1)[0]) == 1
    assert len(result(engine, "text-classification", [TEXT, "sea"])) == 2
    ranked = types.ZeroShotClassificationOutputElement.parse_obj_as_list(
        result(engine, "zero-shot-classification", TEXT, candidate_labels=["sea", "land", "sky"])
    )
    assert sum(one.score for one in ranked) == pytest.approx(1)
    pair = words(TEXT, "This example is sea.", return_tensors="pt")
    with torch.no_grad():
        alone = torch.softmax(model(**pair).logits[0, [0, 1]], dim=-1)[1]
    several = result(engine, "zero-shot-classification", TEXT, candidate_labels=["sea"], multi_label=True)
    assert several[0]["score"] == pytest.approx(float(alone), abs=1e-5)
    assert "64" in refusal(engine, "text-classification", TEXT * 20)
    assert "candidate_labels" in refusal(engine, "zero-shot-classification", TEXT)
    assert "text-classification" in refusal(engine, "fill-mask", TEXT)
    assert engine.ask(prompt="a")[-1]["code"] == "task_not_supported"


def test_a_classifier_without_entailment_says_why(tmp_path: Path, start: Callable[..., Talk]) -> None:
    engine = start(head_model(tmp_path / "m", "SequenceClassification", ["bad", "good"]))
    assert "entailment" in refusal(engine, "zero-shot-classification", TEXT, candidate_labels=["x"])
    assert engine.facts.labels == ("bad", "good")


def test_words_get_labels(tmp_path: Path, start: Callable[..., Talk]) -> None:
    engine = start(head_model(tmp_path / "m", "TokenClassification", TAGS))
    for way in ("none", "simple", "first", "average", "max"):
        raw = result(engine, "token-classification", TEXT, aggregation_strategy=way, ignore_labels=[])
        found = types.TokenClassificationOutputElement.parse_obj_as_list(raw)
        assert found
        for one in found:
            assert one.word == TEXT[one.start : one.end]
            assert (one.entity is None) == (way != "none")
    grouped = result(engine, "token-classification", TEXT)
    assert all(one["entity_group"] in ("PER", "LOC") for one in grouped)
    assert "aggregation_strategy" in refusal(engine, "token-classification", TEXT, aggregation_strategy="x")


def test_passages_answer(tmp_path: Path, start: Callable[..., Talk]) -> None:
    engine = start(head_model(tmp_path / "m", "QuestionAnswering"))
    inputs = {"question": "who is old?", "context": f"{TEXT}. " * 12}
    one = types.QuestionAnsweringOutputElement.parse_obj(result(engine, "question-answering", inputs))
    assert one.answer == inputs["context"][one.start : one.end]
    three = result(engine, "question-answering", inputs, top_k=3)
    assert len(three) == 3
    assert three[0]["score"] >= three[1]["score"] >= three[2]["score"]
    assert three[0]["answer"] == one.answer
    assert "context" in refusal(engine, "question-answering", {"question": "who?"})


def test_gaps_are_filled(tmp_path: Path, start: Callable[..., Talk]) -> None:
    engine = start(head_model(tmp_path / "m", "MaskedLM"))
    assert engine.facts.mask_token == "[MASK]"
    found = types.FillMaskOutputElement.parse_obj_as_list(
        result(engine, "fill-mask", "the [MASK] man and the sea", top_k=3)
    )
    assert len(found) == 3
    assert found[0].score >= found[1].score
    two = result(engine, "fill-mask", "the [MASK] [MASK] sea")
    assert [len(gap) for gap in two] == [5, 5]
    named = result(engine, "fill-mask", "the [MASK] sea", targets=["the", "and"])
    assert {one["token_str"] for one in named} == {"the", "and"}
    assert "[MASK]" in refusal(engine, "fill-mask", TEXT)


def test_vectors_are_means_of_the_last_layer(tmp_path: Path, start: Callable[..., Talk]) -> None:
    from transformers import AutoModel

    folder = head_model(tmp_path / "m", "")
    engine = start(folder, task="feature-extraction")
    texts = [TEXT, "sea", "a man"]
    found = engine.ask("embed", inputs=texts)[-1]["result"]
    model, words = AutoModel.from_pretrained(folder).eval(), word_tokenizer()
    with torch.no_grad():
        for text, vector in zip(texts, found["embeddings"], strict=True):
            mean = model(**words(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
            assert vector == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)
    assert found["prompt_tokens"] == sum(len(words(text)["input_ids"]) for text in texts)
    short = engine.ask("embed", inputs=[TEXT], dimensions=8)[-1]["result"]["embeddings"][0]
    assert len(short) == 8
    assert sum(x * x for x in short) == pytest.approx(1, abs=1e-5)
    alike = result(engine, "sentence-similarity", {"source_sentence": TEXT, "sentences": [TEXT, "sea"]})
    assert alike[0] == pytest.approx(1, abs=1e-5)
    assert alike[1] < 1
    features = result(engine, "feature-extraction", TEXT)
    assert (len(features), len(features[0])) == (1, 32)
    error = engine.ask("embed", inputs=["sea " * 100])[-1]
    assert error["code"] == "context_length_exceeded"
    assert "64" in error["message"]
    assert engine.ask("embed", inputs=["sea " * 100], truncate=True)[-1]["event"] == "result"


def test_a_folder_of_sentence_transformers_says_how_to_pool(
    tmp_path: Path, start: Callable[..., Talk]
) -> None:
    from transformers import AutoModel

    folder = head_model(tmp_path / "m", "")
    modules = [
        {"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}', encoding="utf-8")
    found = start(folder).ask("embed", inputs=[TEXT], normalize=False)[-1]["result"]["embeddings"][0]
    with torch.no_grad():
        made = AutoModel.from_pretrained(folder).eval()(**word_tokenizer()(TEXT, return_tensors="pt"))
    assert found == pytest.approx(made.last_hidden_state[0, 0].tolist(), abs=1e-5)


def test_a_model_that_writes_text_makes_vectors_too(tmp_path: Path, start: Callable[..., Talk]) -> None:
    engine = start(chat_model(tmp_path / "m"))
    assert len(engine.ask("embed", inputs=["a", "The old man"])[-1]["result"]["embeddings"]) == 2
    assert "text-generation" in refusal(engine, "summarization", TEXT)


def test_one_text_is_written_from_another(tmp_path: Path, start: Callable[..., Talk]) -> None:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder = writer_model(tmp_path / "m")
    engine = start(folder, task="summarization")
    model, words = AutoModelForSeq2SeqLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    made = model.generate(**words(TEXT, return_tensors="pt"), max_new_tokens=12, do_sample=False)[0]
    wanted = words.decode(made, skip_special_tokens=True)
    assert engine.text(prompt=TEXT, max_tokens=12, temperature=0) == wanted
    summary = result(engine, "summarization", TEXT, generate_parameters={"max_new_tokens": 12})
    assert types.SummarizationOutput.parse_obj_as_list(summary)[0].summary_text == wanted.strip()
    both = result(engine, "text2text-generation", [TEXT, "sea"], max_new_tokens=4)
    assert len(both) == 2
    translated = result(engine, "translation", TEXT, src_lang="English", tgt_lang="French", max_new_tokens=5)
    assert types.TranslationOutput.parse_obj_as_list(translated)
    assert "num_beams" in refusal(engine, "summarization", TEXT, num_beams=4)
    assert engine.ask(messages=[{"role": "user", "content": "hi"}])[-1]["code"] == "no_chat_template"


@pytest.mark.parametrize(
    "fields",
    [
        {"family": "mistral", "sliding_window": 16},
        {"family": "gemma2", "sliding_window": 16, "query_pre_attn_scalar": 8},
        {"family": "qwen2", "use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    ],
)
def test_models_with_windows_say_what_generate_says(
    tmp_path: Path, start: Callable[..., Talk], fields: dict[str, Any]
) -> None:
    from transformers import AutoModelForCausalLM

    folder = chat_model(tmp_path / "m", **fields)
    engine = start(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    model.generation_config.eos_token_id = None
    for prompt in (list(range(5, 40)), [7, 8, 9]):
        frames = engine.ask(prompt=prompt, max_tokens=20, temperature=0, logprobs=0, ignore_eos=True)
        made = [t["id"] for f in frames if f["event"] == "delta" for t in f["tokens"]]
        wanted = model.generate(torch.tensor([prompt]), max_new_tokens=20, do_sample=False)[0, len(prompt) :]
        assert made == wanted.tolist()
    scored = engine.ask(prompt=list(range(5, 40)), max_tokens=0, echo=True, logprobs=0)
    told = [t["logprob"] for f in scored if f["event"] == "prompt" for t in f["tokens"]][1:]
    with torch.no_grad():
        rows = torch.log_softmax(model(torch.tensor([list(range(5, 40))])).logits[0], dim=-1)
    assert told == pytest.approx([float(rows[n, token]) for n, token in enumerate(range(6, 40))], abs=1e-4)
