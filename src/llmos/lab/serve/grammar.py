"""Answers that must match a JSON schema or a regular expression: which tokens may come next."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmos.lab.serve.errors import CallError
from llmos.wire.serving import Grammar

_ANY_OBJECT: dict[str, Any] = {"type": "object"}
# Keywords whose values are schemas, lists of them, and named ones.
_ONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions")


class Grammars:
    """Makes constraints for one vocabulary. llguidance is imported with the first."""

    def __init__(self, tokenizer: Any, vocabulary: int) -> None:
        self._tokenizer, self._vocabulary = tokenizer, vocabulary
        self._made: dict[frozenset[int], Any] = {}

    def constraint(self, grammar: Grammar, ends: Collection[int]) -> Constraint:
        """Raises CallError `invalid_schema` or `invalid_regex` naming the place."""
        from llguidance import LLMatcher

        source = _source(grammar)
        words = self._words(frozenset(ends))
        is_wrong, messages = LLMatcher.validate_grammar_with_warnings(source, words)
        if is_wrong:
            raise _refusal(grammar, messages[0], lambda text: _why(text, words))
        return Constraint(LLMatcher(words, source, log_level=0))

    def _words(self, ends: frozenset[int]) -> Any:
        from llguidance import LLTokenizer

        if ends not in self._made:
            backend = getattr(self._tokenizer, "backend_tokenizer", None)
            if backend is None or not ends:
                raise CallError(
                    "Answers of this model cannot be held to a grammar: it has no fast tokenizer "
                    "(tokenizer.json) or no token that ends a text.",
                    code="no_grammar",
                    param="grammar",
                )
            self._made[ends] = LLTokenizer(
                backend.to_str(), n_vocab=max(self._vocabulary, len(self._tokenizer)), eos_token=sorted(ends)
            )
        return self._made[ends]


class Constraint:
    """Where one answer is in its grammar."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def mask(self) -> Tensor:
        """Raises CallError `grammar_too_complex`, as `take` does."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        self._check()
        return torch.from_numpy(np.unpackbits(bits, bitorder="little").astype(bool))

    def take(self, token: int) -> bool:
        """False once nothing more may follow."""
        is_taken = bool(self._matcher.consume_token(token))
        self._check()
        return is_taken and not self._matcher.is_stopped()

    def _check(self) -> None:
        if self._matcher.is_error():
            why = str(self._matcher.get_error()).splitlines()[0]
            raise CallError(
                f"The answer cannot be held to this grammar any further: {why}. Use a simpler one.",
                code="grammar_too_complex",
                param="grammar",
            )


def tools_schema(tools: list[dict[str, Any]], name: str | None) -> dict[str, Any]:
    """What a call of one of the tools looks like, of the one named if one is."""
    wanted = []
    for tool in tools:
        function = tool.get("function", tool)
        if name is None or function.get("name") == name:
            wanted.append(
                {
                    "type": "object",
                    "properties": {
                        "name": {"const": function.get("name")},
                        "arguments": function.get("parameters") or _ANY_OBJECT,
                    },
                    "required": ["name", "arguments"],
                    "additionalProperties": False,
                }
            )
    if not wanted:
        raise CallError(f"tool_choice names {name!r}, and tools has no such function.", param="tool_choice")
    return wanted[0] if len(wanted) == 1 else {"anyOf": wanted}


def _source(grammar: Grammar) -> str:
    from llguidance import LLMatcher

    if grammar.kind == "regex":
        if not grammar.regex:
            raise CallError("grammar.regex is missing.", param="grammar.regex")
        return str(LLMatcher.grammar_from_regex(grammar.regex))
    schema = grammar.json_schema if grammar.kind == "json_schema" else _ANY_OBJECT
    if schema is None:
        raise CallError("grammar.json_schema is missing.", param="grammar.json_schema")
    return _of_schema(schema)


def _of_schema(schema: Any) -> str:
    from llguidance import LLMatcher

    return str(LLMatcher.grammar_from_json_schema(json.dumps(schema)))


def _why(schema: Any, words: Any) -> str:
    """What is wrong with a schema; nothing if it is right."""
    from llguidance import LLMatcher

    try:
        is_wrong, messages = LLMatcher.validate_grammar_with_warnings(_of_schema(schema), words)
    except ValueError as error:
        return str(error)
    return messages[0] if is_wrong else ""


def _refusal(grammar: Grammar, message: str, why: Any) -> CallError:
    if grammar.kind == "regex":
        line = next((x for x in message.splitlines() if x.startswith("error:")), message.splitlines()[0])
        return CallError(
            f"grammar.regex: {line.removeprefix('error: ')}.", code="invalid_regex", param="grammar.regex"
        )
    schema: Any = grammar.json_schema
    place, message = _place(schema, message, why)
    return CallError(
        f"The JSON schema cannot be used: {place or 'the schema'}: {message.splitlines()[0]}.",
        code="invalid_schema",
        param="grammar.json_schema" + (f".{place}" if place else ""),
        data={"place": place},
    )


def _place(schema: Any, message: str, why: Any) -> tuple[str, str]:
    """The innermost part that is wrong taken by itself."""
    shared = {k: schema[k] for k in ("$defs", "definitions") if isinstance(schema, dict) and k in schema}
    parts: list[str] = []
    while True:
        for name, part in _parts(schema):
            found = why({**shared, **part} if isinstance(part, dict) else part)
            if found:
                parts.append(name)
                schema, message = part, found
                break
        else:
            return ".".join(parts), message


def _parts(schema: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(schema, dict):
        return
    for key in _NAMED:
        named = schema.get(key)
        for name, part in named.items() if isinstance(named, dict) else ():
            yield f"{key}.{name}", part
    for key in _ONE:
        if isinstance(schema.get(key), dict):
            yield key, schema[key]
    for key in _MANY:
        listed = schema.get(key)
        for number, part in enumerate(listed if isinstance(listed, list) else ()):
            yield f"{key}.{number}", part
