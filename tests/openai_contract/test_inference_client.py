"""`huggingface_hub.InferenceClient` as it is, with the address of a model here as its `model`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi, InferenceClient
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, ValidationError

from kit.server import LiveServer
from kit.serving import put_model
from openai_contract.task_models import make_task_model

Client = Callable[[str], InferenceClient]


@pytest.fixture(scope="module")
def client(engine_runner: LiveServer) -> Client:
    def of(path: str) -> InferenceClient:
        return InferenceClient(model=f"{engine_runner.url}/models/{path}", token=engine_runner.tokens["ada"])

    return of


@pytest.fixture(scope="module")
def task_model(engine_runner: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    def put(task: str) -> str:
        folder: Path = tmp_path_factory.mktemp("task")
        put_model(engine_runner, make_task_model(folder, task), f"ada/for-{task}")
        return f"ada/for-{task}"

    return put


def test_text_generation(client: Client, chat_model: str) -> None:
    model = client(chat_model)
    said = model.text_generation("Once upon", max_new_tokens=6)
    assert "".join(model.text_generation("Once upon", max_new_tokens=6, stream=True)) == said
    assert model.text_generation("Once upon", max_new_tokens=6, return_full_text=True) == "Once upon" + said
    told = model.text_generation("Once upon", max_new_tokens=3, details=True, decoder_input_details=True)
    assert told.details is not None
    assert (told.details.finish_reason, len(told.details.tokens)) == ("length", 3)
    assert told.details.prefill[1].logprob < 0
    *_, last = model.text_generation("Once upon", max_new_tokens=3, stream=True, details=True)
    assert last.details is not None
    assert (last.generated_text, last.details.generated_tokens) == (told.generated_text, 3)
    made = model.text_generation("Once", max_new_tokens=9, grammar={"type": "regex", "value": "[ab]{3}"})
    assert set(made) <= {"a", "b"}
    with pytest.raises(ValidationError, match="watermark"):
        model.text_generation("Once", watermark=True)
    with pytest.raises(ValidationError, match="512"):
        model.text_generation("word " * 2000)


def test_chat_by_every_address(engine_runner: LiveServer, client: Client, chat_model: str) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    model = client(chat_model)  # kept: a client that nobody holds closes its streams
    whole = model.chat_completion(messages, max_tokens=4, temperature=0)
    said = whole.choices[0].message.content
    streamed = model.chat_completion(messages, max_tokens=4, temperature=0, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in streamed) == said
    by_name = InferenceClient(base_url=f"{engine_runner.url}/v1", api_key=engine_runner.tokens["ada"])
    made = by_name.chat.completions.create(messages, model=chat_model, max_tokens=4, temperature=0)
    assert made.choices[0].message.content == said
    with pytest.raises(RepositoryNotFoundError):
        client("ada/nothing").text_generation("x")
    with pytest.raises(HfHubHTTPError, match="no task 'painting'"):
        client(f"{chat_model}/pipeline/painting").text_generation("x")


def test_what_a_model_says_of_itself(engine_runner: LiveServer, client: Client, chat_model: str) -> None:
    model = InferenceClient(
        model=f"{engine_runner.url}/models/{chat_model}",
        token=engine_runner.tokens["ada"],
        provider="hf-inference",
    )
    assert model.get_endpoint_info()["model_id"] == chat_model
    assert model.health_check()
    info = HfApi(endpoint=engine_runner.url).model_info(
        chat_model, expand=["inference", "inferenceProviderMapping"]
    )
    assert info.inference == "warm"
    # A provider's address is built into the client: naming one here would send our people's words elsewhere.
    assert info.inference_provider_mapping == []


def test_masks_vectors_and_similar_sentences(client: Client, task_model: Callable[[str], str]) -> None:
    name = task_model("fill-mask")
    found = client(name).fill_mask("the [MASK] sat", top_k=3)
    assert len(found) == 3
    assert found[0].score >= found[1].score
    vectors = client(f"{name}/pipeline/feature-extraction").feature_extraction(["the cat", "a dog"])
    assert vectors.shape == (2, 32)
    same, other = client(name).sentence_similarity("the cat", ["the cat", "a dog ran"])
    assert same == pytest.approx(1, abs=1e-4)
    assert other < same
    with pytest.raises(HfHubHTTPError) as caught:
        client(name).fill_mask("no mask at all")
    assert 400 <= caught.value.response.status_code < 500


def test_classes_known_and_named(client: Client, task_model: Callable[[str], str]) -> None:
    name = task_model("text-classification")
    found = client(name).text_classification("the cat sat")
    assert {one.label for one in found} == {"contradiction", "neutral", "entailment"}
    assert sum(one.score for one in found) == pytest.approx(1, abs=1e-4)
    named = client(name).zero_shot_classification("the cat sat", ["animal", "place"])
    assert {one.label for one in named} == {"animal", "place"}


@pytest.mark.slow
def test_the_other_tasks(client: Client, task_model: Callable[[str], str]) -> None:
    found = client(task_model("token-classification")).token_classification("ada sat in london")
    assert all(one.word for one in found)
    context = "the dog ran to the sea"
    answer = client(task_model("question-answering")).question_answering("who ran", context)
    assert answer.answer == context[answer.start : answer.end]
    name = task_model("text2text-generation")
    written = client(f"{name}/pipeline/summarization").summarization("the cat sat on the mat")
    assert written.summary_text is not None
    told = client(f"{name}/pipeline/translation").translation("the cat sat", src_lang="en", tgt_lang="zh")
    assert told.translation_text is not None
