"""The `openai` client as it is, against a model that was put here a moment ago."""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from huggingface_hub import HfApi
from openai import OpenAI
from openai.types.responses import ResponseTextDeltaEvent

from kit.server import LiveServer
from kit.serving import CHAT_TEMPLATE, put_model, tiny_chat_model

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"a": {"enum": ["yes", "no"]}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def client(engine_runner: LiveServer) -> Iterator[OpenAI]:
    key = engine_runner.tokens["ada"]
    with OpenAI(base_url=f"{engine_runner.url}/v1", api_key=key, max_retries=0) as one:
        yield one


def test_a_chat_whole_and_streamed_says_the_same(client: OpenAI, chat_model: str) -> None:
    asked: dict[str, Any] = {"model": chat_model, "messages": HELLO, "max_tokens": 6, "temperature": 0}
    whole = client.chat.completions.create(**asked, n=2, logprobs=True, top_logprobs=2)
    assert whole.system_fingerprint
    assert whole.usage is not None
    assert (whole.usage.completion_tokens, whole.choices[1].finish_reason) == (12, "length")
    assert whole.choices[0].logprobs is not None
    tokens = whole.choices[0].logprobs.content or []
    assert len(tokens) == 6
    assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in tokens)
    said = bytes(byte for token in tokens for byte in token.bytes or ()).decode("utf-8", "replace")
    assert said == whole.choices[0].message.content == whole.choices[1].message.content
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == said
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6


def test_sampling_fields_do_what_they_say(client: OpenAI, chat_model: str) -> None:
    def say(**fields: Any) -> Any:
        made = client.chat.completions.create(
            model=chat_model, messages=HELLO, **({"max_tokens": 12} | fields)
        )
        return made.choices[0]

    one, other = say(seed=5), say(seed=5)
    assert one.message.content == other.message.content
    always = say(temperature=0, logit_bias={"70": 100}, max_completion_tokens=3).message.content
    assert len(set(always)) == 1
    cut = say(temperature=0, logit_bias={"70": 100}, stop=always[:2])
    assert (cut.message.content, cut.finish_reason) == ("", "stop")
    strange = say(extra_body={"reasoning_effort": "high", "made_up": {"x": 1}, "top_k": 1}, max_tokens=1)
    assert strange.finish_reason == "length"


def test_an_answer_matches_what_was_asked_for(client: OpenAI, chat_model: str) -> None:
    named = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    for given in (named, {"type": "json_object", "value": SCHEMA}):
        made = client.chat.completions.create(
            model=chat_model, messages=HELLO, max_tokens=200, response_format=given, seed=1
        )
        assert json.loads(made.choices[0].message.content or "")["a"] in ("yes", "no")
    regex: Any = {"type": "regex", "value": "[ab]{3}"}
    made = client.chat.completions.create(model=chat_model, messages=HELLO, response_format=regex, seed=1)
    assert set(made.choices[0].message.content or "") <= {"a", "b"}


def test_completions_score_their_prompt(client: OpenAI, chat_model: str) -> None:
    """As lm-eval asks: ids in, the likelihood of each but the first out."""
    asked: dict[str, Any] = {
        "model": chat_model,
        "max_tokens": 1,
        "echo": True,
        "logprobs": 1,
        "temperature": 0,
    }
    ids = [[5, 60, 7], [80, 9, 10, 11]]
    made = client.completions.create(prompt=ids, **asked)
    assert [choice.index for choice in made.choices] == [0, 1]
    for choice, given in zip(made.choices, ids, strict=True):
        told = choice.logprobs
        assert told is not None
        assert len(told.tokens or ()) == len(given) + 1
        assert (told.token_logprobs or [0])[0] is None
        for value, top in list(zip(told.token_logprobs or (), told.top_logprobs or (), strict=True))[1:]:
            assert value <= max(top.values())
    alone = client.completions.create(prompt=ids[1], **asked).choices[0].logprobs
    both = made.choices[1].logprobs
    assert alone is not None
    assert both is not None
    assert (alone.token_logprobs or [])[1:] == pytest.approx((both.token_logprobs or [])[1:], abs=1e-4)
    asked = asked | {"max_tokens": 0}
    text = client.completions.create(prompt="Once upon a time", **asked).choices[0]
    assert text.text == "Once upon a time"
    parts = client.completions.create(prompt=["Once", "upon"], **(asked | {"max_tokens": 2}), stream=True)
    assert {part.choices[0].index for part in parts if part.choices} == {0, 1}


def test_responses_whole_and_streamed(client: OpenAI, chat_model: str) -> None:
    asked: dict[str, Any] = {"model": chat_model, "input": "Hello", "max_output_tokens": 5, "temperature": 0}
    whole = client.responses.create(**asked, instructions="Be brief.", metadata={"a": "b"})
    assert (whole.status, whole.instructions, whole.metadata) == ("incomplete", "Be brief.", {"a": "b"})
    assert whole.usage is not None
    assert whole.usage.output_tokens == 5
    items: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    events = list(client.responses.create(**(asked | {"input": items}), stream=True))
    said = "".join(event.delta for event in events if isinstance(event, ResponseTextDeltaEvent))
    assert said == whole.output_text
    assert events[-1].type == "response.incomplete"
    text: Any = {"format": {"type": "json_schema", "name": "x", "schema": {"enum": ["yes", "no"]}}}
    with client.responses.stream(**(asked | {"text": text, "max_output_tokens": 200})) as stream:
        assert json.loads(stream.get_final_response().output_text) in ("yes", "no")
    with pytest.raises(openai.NotFoundError, match="not stored"):
        client.responses.retrieve(whole.id)


def test_embeddings_as_numbers_and_packed(client: OpenAI, chat_model: str) -> None:
    texts = ["one", "two words"]
    plain = client.embeddings.create(model=chat_model, input=texts, encoding_format="float")
    packed = client.embeddings.with_raw_response.create(
        model=chat_model, input=texts, encoding_format="base64"
    )
    numbers = array("f", base64.b64decode(packed.http_response.json()["data"][1]["embedding"]))
    assert list(numbers) == pytest.approx(plain.data[1].embedding, abs=1e-6)
    assert client.embeddings.create(model=chat_model, input=texts).data[1].embedding == pytest.approx(
        list(numbers)
    )
    short = client.embeddings.create(model=chat_model, input=texts[0], dimensions=4).data[0].embedding
    assert sum(value * value for value in short) == pytest.approx(1, abs=1e-4)
    many = client.embeddings.create(model=chat_model, input=["a"] * 300)
    assert [one.index for one in many.data] == list(range(300))


def test_models_are_listed_and_found(client: OpenAI, chat_model: str) -> None:
    client.chat.completions.create(model=chat_model, messages=HELLO, max_tokens=1)
    assert chat_model in {model.id for model in client.models.list()}
    found = client.models.retrieve(chat_model)
    assert (found.object, found.owned_by) == ("model", "ada")
    revision = getattr(found, "revision", "")
    made = client.chat.completions.with_raw_response.create(
        model=f"{chat_model}@{revision}", messages=HELLO, max_tokens=1
    )
    assert made.headers["x-llmos-revision"] == revision
    assert made.parse().system_fingerprint == revision[:12]
    assert getattr(client.models.retrieve(f"{chat_model}@main"), "revision", "") == revision
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(f"{chat_model}@nothing")


def test_refusals_are_of_the_clients_own_kinds(client: OpenAI, chat_model: str) -> None:
    def refused(kind: type[openai.APIStatusError], **fields: Any) -> openai.APIStatusError:
        with pytest.raises(kind) as caught:
            client.chat.completions.create(**({"model": chat_model, "messages": HELLO} | fields))
        return caught.value

    missing = refused(openai.NotFoundError, model="ada/nothing")
    assert missing.code == "model_not_found"
    long = refused(openai.BadRequestError, messages=[{"role": "user", "content": "word " * 2000}])
    assert (long.code, long.param) == ("context_length_exceeded", "messages")
    assert "512" in long.message
    streamed = refused(openai.BadRequestError, max_tokens=100_000, stream=True)
    assert (streamed.code, "100000" in streamed.message) == ("context_length_exceeded", True)
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    assert refused(openai.BadRequestError, response_format=schema).param == "response_format"
    tools = [{"type": "function", "function": {"name": "look"}}]
    assert refused(openai.BadRequestError, tools=tools).code == "no_tools"
    with pytest.raises(openai.AuthenticationError) as caught:
        client.with_options(api_key="sk-wrong").models.list()
    assert caught.value.code == "invalid_api_key"


def test_others_models_are_not_there(engine_runner: LiveServer, client: OpenAI) -> None:
    repo_id = "ada/kept-to-herself"
    HfApi(endpoint=engine_runner.url, token=engine_runner.tokens["ada"]).create_repo(repo_id, private=True)
    grace = client.with_options(api_key=engine_runner.tokens["grace"])
    for one in (
        lambda: grace.models.retrieve(repo_id),
        lambda: grace.completions.create(model=repo_id, prompt="x"),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            one()
        assert caught.value.code == "model_not_found"
    with pytest.raises(openai.UnprocessableEntityError, match="cannot be served"):
        client.completions.create(model=repo_id, prompt="x")


@pytest.mark.slow
def test_a_model_that_takes_tools_calls_them(
    engine_runner: LiveServer, client: OpenAI, tmp_path: Path
) -> None:
    folder = tiny_chat_model(tmp_path / "model")
    (folder / "chat_template.jinja").write_text("{{ tools | tojson if tools }}" + CHAT_TEMPLATE)
    put_model(engine_runner, folder, "ada/tiny-tools")
    function = {"name": "look", "parameters": SCHEMA}
    drawn = {"seed": 1}  # the API of responses has no such field of its own
    asked: dict[str, Any] = {"model": "ada/tiny-tools", "tool_choice": "required", "extra_body": drawn}
    chat = asked | {
        "messages": HELLO,
        "max_tokens": 200,
        "tools": [{"type": "function", "function": function}],
    }
    made = client.chat.completions.create(**chat).choices[0]
    assert made.finish_reason == "tool_calls"
    call = (made.message.tool_calls or [])[0]
    assert json.loads(call.function.arguments)["a"] in ("yes", "no")
    chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**chat, stream=True)]
    assert [call.function.name for chunk in chunks for call in chunk.delta.tool_calls or ()] == ["look"]
    assert chunks[-1].finish_reason == "tool_calls"
    answered = {"role": "tool", "tool_call_id": call.id, "content": "yes"}
    history = [*HELLO, {"role": "assistant", "content": None, "tool_calls": [call.to_dict()]}, answered]
    after = client.chat.completions.create(
        **(chat | {"messages": history, "max_tokens": 2, "tool_choice": "none"})
    )
    assert after.choices[0].finish_reason == "length"
    flat = asked | {"input": "Hello", "tools": [{"type": "function", **function}]}
    assert [item.type for item in client.responses.create(**flat).output] == ["function_call"]
    events = [event.type for event in client.responses.create(**flat, stream=True)]
    assert "response.function_call_arguments.done" in events
    assert events[-1] == "response.completed"
