"""How to choose tokens and what the answer must match: fields that chat and completions share.

Beside OpenAI's own, the names other servers made common are taken: `top_k`, `min_p`, `min_tokens`,
`repetition_penalty`, `ignore_eos`.
"""

from __future__ import annotations

from typing import Any

from llmos.protocols.openai.errors import refuse
from llmos.protocols.openai.fields import Fields
from llmos.wire.serving import MAX_CHOICES, MAX_STOPS

MAX_STOP_CHARS = 500
MAX_BIASES = 1024
MAX_TOKENS = 10_000_000


def sampling(body: Fields) -> dict[str, Any]:
    """The part of a `generate` call that these fields decide; what is absent is left to the engine."""
    call = {
        "n": body.integer("n", 1, MAX_CHOICES),
        "temperature": body.number("temperature", 0, 100),
        "top_p": body.number("top_p", 0, 1, above=True),
        "top_k": _top_k(body),
        "min_p": body.number("min_p", 0, 1),
        "min_tokens": body.integer("min_tokens", 0, MAX_TOKENS),
        "repetition_penalty": body.number("repetition_penalty", 0.01, 100),
        "frequency_penalty": body.number("frequency_penalty", -2, 2),
        "presence_penalty": body.number("presence_penalty", -2, 2),
        "seed": body.integer("seed"),
        "logit_bias": _logit_bias(body),
        "stop": stops(body) or None,
        "ignore_eos": body.flag("ignore_eos") or None,
    }
    return {name: value for name, value in call.items() if value is not None}


def _top_k(body: Fields) -> int | None:
    value = body.integer("top_k", -1, MAX_TOKENS)
    return None if value == -1 else value  # as other servers write "no limit"


def stops(body: Fields, name: str = "stop") -> list[str]:
    """Where to stop. More than the engine takes are refused, by name."""
    found = body.texts(name, MAX_STOPS)
    for stop in found:
        if len(stop) > MAX_STOP_CHARS:
            refuse(body.place + name, f"a stop of {len(stop)} characters; at most {MAX_STOP_CHARS}.")
    return found


def _logit_bias(body: Fields) -> dict[str, float] | None:
    given = body.object("logit_bias")
    if not given:
        return None
    if len(given) > MAX_BIASES:
        refuse("logit_bias", f"{len(given)} tokens are too many; at most {MAX_BIASES}.")
    biases = Fields(given, "logit_bias.")
    found: dict[str, float] = {}
    for token in given:
        if not token.isascii() or not token.isdecimal() or len(token) > 9:
            refuse("logit_bias", f"{token[:40]!r} is no token id; the keys must be whole numbers.")
        value = biases.number(token, -100, 100)
        if value is not None:
            found[str(int(token))] = value
    return found or None


def response_format(body: Fields, name: str = "response_format") -> dict[str, Any] | None:
    """The grammar of an answer, from OpenAI's forms or the Hub's (`{"type": "regex", "value": …}`)."""
    given = body.object(name)
    return None if given is None else grammar_of(Fields(given, f"{body.place}{name}."))


_KINDS = ("text", "json_object", "json_schema", "json", "regex")


def grammar_of(given: Fields) -> dict[str, Any] | None:
    """See `response_format`; None for plain text."""
    kind = given.choice("type", _KINDS)
    if kind is None:
        refuse(f"{given.place}type", f"this field is missing; it must be one of {', '.join(_KINDS)}.")
    if kind == "text":
        return None
    if kind == "regex":
        return {"kind": "regex", "regex": given.needed_text("value", 4000)}
    schema: dict[str, Any] | None
    if kind == "json_schema":
        schema = _named_schema(given)
    else:
        schema = given.object("schema") if given.get("value") is None else given.object("value")
        if schema is None and kind == "json":
            refuse(f"{given.place}value", "this field is missing; it must be a JSON schema.")
    if schema is None:
        return {"kind": "json_object"}
    return {"kind": "json_schema", "json_schema": schema}


def _named_schema(given: Fields) -> dict[str, Any]:
    """`{"json_schema": {"name", "schema"}}`, the flat form of responses, or the Hub's `value`."""
    inner = given.object("json_schema")
    place = f"{given.place}json_schema."
    fields = given if inner is None else Fields(inner, place)
    schema = given.object("value") if fields.get("schema") is None else fields.object("schema")
    if schema is None:
        refuse(
            f"{place}schema", "this field is missing; it must be a JSON schema.", "missing_required_parameter"
        )
    return schema
