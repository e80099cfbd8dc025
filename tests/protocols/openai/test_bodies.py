"""Whatever a client sends: a call the wire knows, or a refusal that names the field. Never anything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from llmos.core.errors import LlmosError
from llmos.protocols.inference.tasks import read_inputs, task_call, task_of
from llmos.protocols.inference.text_generation import read_generation
from llmos.protocols.openai.chat import read_chat
from llmos.protocols.openai.completions import read_completion
from llmos.protocols.openai.embeddings import read_embeddings
from llmos.protocols.openai.errors import error_object
from llmos.protocols.openai.responses import read_response
from llmos.wire.serving import Call

CALL: TypeAdapter[Any] = TypeAdapter(Call)


def task_body(data: dict[str, Any]) -> list[dict[str, Any]]:
    inputs, parameters = read_inputs(data)
    return [task_call(task_of(inputs, parameters, "fill-mask"), inputs, parameters)]


READERS: dict[str, Callable[[dict[str, Any]], list[dict[str, Any]]]] = {
    "chat": lambda data: [read_chat(data).call],
    "completions": lambda data: read_completion(data).calls,
    "responses": lambda data: [read_response(data).call],
    "embeddings": lambda data: read_embeddings(data).calls,
    "generation": lambda data: [read_generation(data).call],
    "task": task_body,
}
CHAT = {"model": "ada/tiny", "messages": [{"role": "user", "content": "Hello"}]}
USUAL: dict[str, dict[str, Any]] = {
    "chat": CHAT,
    "completions": {"model": "ada/tiny", "prompt": "Once"},
    "responses": {"model": "ada/tiny", "input": "Hello"},
    "embeddings": {"model": "ada/tiny", "input": ["one", "two"]},
    "generation": {"inputs": "Once", "parameters": {}},
    "task": {"inputs": "A [MASK].", "parameters": {}},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted(
    """model messages prompt input inputs parameters instructions n temperature top_p top_k min_p min_tokens
    max_tokens max_completion_tokens max_output_tokens max_new_tokens stop seed logprobs top_logprobs
    logit_bias response_format tools tool_choice stream stream_options echo best_of suffix user modalities
    include text functions grammar details truncate do_sample dimensions encoding_format background store
    metadata frequency_penalty presence_penalty repetition_penalty continue_final_message chat_template_kwargs
    ignore_eos reasoning whatever_else role content type""".split()
)
NEAR = st.sampled_from(
    [
        0,
        -1,
        1e308,
        10**30,
        128,
        "",
        "auto",
        "required",
        [],
        {},
        [[]],
        [{}],
        {"type": "json_schema"},
        {"type": "regex"},
        {"type": "json_object", "value": {"type": "nonsense"}},
        [{"role": "wizard", "content": "x"}],
        [[1, 2], "a"],
        [{"type": "function", "function": {"name": "f"}}],
        {"include_usage": True},
        {"-1": 3},
        {"5": float("nan")},
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}],
        [1, 2, 3],
        [True],
        [{"type": "function_call_output", "call_id": "c", "output": "x"}],
        [{"role": "assistant", "tool_calls": [{}]}],
    ]
)


def understood(kind: str, data: dict[str, Any]) -> list[dict[str, Any]] | LlmosError:
    try:
        return READERS[kind](data)
    except LlmosError as error:
        return error


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=40, deadline=None)
@given(data=st.dictionaries(st.sampled_from(FIELDS), JSON | NEAR, max_size=6), is_usual=st.booleans())
def test_every_body_is_a_call_or_a_named_refusal(kind: str, data: dict[str, Any], *, is_usual: bool) -> None:
    found = understood(kind, USUAL[kind] | data if is_usual else data)
    if isinstance(found, LlmosError):
        assert 400 <= found.status < 500, found
        assert error_object(found)["message"]
        return
    for call in found:
        CALL.validate_python(call)


@pytest.mark.parametrize("kind", READERS)
def test_the_usual_body_is_a_call(kind: str) -> None:
    found = understood(kind, USUAL[kind])
    assert not isinstance(found, LlmosError)
    assert [CALL.validate_python(call) for call in found]


@pytest.mark.parametrize("kind", ["chat", "completions", "responses", "embeddings"])
def test_fields_nobody_knows_are_passed_over(kind: str) -> None:
    extra = {
        "service_tier": "auto",
        "verbosity": "low",
        "x": {"y": [1]},
        "reasoning_effort": "high",
        "store": True,
    }
    assert understood(kind, USUAL[kind] | extra) == understood(kind, USUAL[kind])


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"n": 10**9}, "n", "integer_above_max_value"),
        ({"n": -1}, "n", "integer_below_min_value"),
        ({"n": "two"}, "n", "invalid_type"),
        ({"n": True}, "n", "invalid_type"),
        ({"temperature": float("nan")}, "temperature", "invalid_type"),
        ({"temperature": -0.1}, "temperature", "integer_below_min_value"),
        ({"top_p": 0}, "top_p", "integer_below_min_value"),
        ({"messages": []}, "messages", "missing_required_parameter"),
        ({"messages": "Hello"}, "messages", "invalid_type"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type",
         "invalid_value"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
         "response_format.json_schema.schema", "missing_required_parameter"),
        ({"top_logprobs": 3}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"logit_bias": {"the": 1}}, "logit_bias", "invalid_value"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"functions": []}, "functions", "unsupported_parameter"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"model": None}, "model", "missing_required_parameter"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(fields: dict[str, Any], param: str, code: str) -> None:
    found = understood("chat", CHAT | fields)
    assert isinstance(found, LlmosError)
    said = error_object(found)
    assert (found.status, said["param"], said["code"], said["type"]) == (
        400,
        param,
        code,
        "invalid_request_error",
    )
    assert said["message"].startswith(param)


def test_completions_refuse_what_they_cannot_do() -> None:
    usual = USUAL["completions"]
    for fields, param in (
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
    ):
        found = understood("completions", usual | fields)
        assert isinstance(found, LlmosError), fields
        assert found.data["param"] == param
    found = understood("completions", usual | {"max_tokens": 0, "echo": True, "logprobs": 1, "best_of": 1})
    assert found == [{"call": "generate", "prompt": "Once", "max_tokens": 0, "echo": True, "logprobs": 1}]


def test_responses_refuse_what_only_a_store_could_answer() -> None:
    for field in ("previous_response_id", "conversation", "prompt"):
        found = understood("responses", USUAL["responses"] | {field: "x"})
        assert isinstance(found, LlmosError)
        assert "not stored" in found.message


def test_the_forms_of_a_grammar() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    as_schema = {"kind": "json_schema", "json_schema": schema}
    forms: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"kind": "json_object"}),
        ({"type": "json_object", "value": schema}, as_schema),
        ({"type": "json", "value": schema}, as_schema),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}, as_schema),
        ({"type": "regex", "value": "[a-z]+"}, {"kind": "regex", "regex": "[a-z]+"}),
    ]
    for given_form, wanted in forms:
        assert read_chat(CHAT | {"response_format": given_form}).call.get("grammar") == wanted
    flat = {"format": {"type": "json_schema", "name": "x", "schema": schema}}
    assert read_response(USUAL["responses"] | {"text": flat}).call["grammar"] == as_schema


def test_items_of_a_response_are_a_chat() -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "Sun"},
        {"role": "developer", "content": "Be brief."},
    ]
    tool = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    asked = read_response({"model": "m", "input": items, "instructions": "Help.", "tools": [tool]})
    assert [message["role"] for message in asked.call["messages"]] == [
        "system", "user", "assistant", "tool", "system",
    ]  # fmt: skip
    assert asked.call["messages"][2]["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}
    assert asked.call["tools"][0]["function"]["name"] == "look"
    assert asked.echo["store"] is False


def test_the_hubs_server_draws_only_when_asked_to() -> None:
    body = {"inputs": "Once"}
    assert read_generation(body).call["temperature"] == 0.0
    assert "temperature" not in read_generation(body | {"parameters": {"do_sample": True}}).call
    assert read_generation(body | {"parameters": {"temperature": 0.7}}).call["temperature"] == 0.7
    assert read_generation(body | {"parameters": {"top_p": 0.9}}).call["top_p"] == 0.9
