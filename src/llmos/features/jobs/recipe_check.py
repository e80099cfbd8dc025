"""Mistakes in a recipe that somebody pasted, each with its line, found before a machine is asked.

By the JSON schema alone, and no stricter than the training lab, which knows more and looks again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any

import yaml

from llmos.core.errors import BadRequest
from llmos.features.jobs.recipes import read_recipe, recipe_schema
from llmos.infra.i18n import lazy
from llmos.wire.contamination_recipe import is_contamination
from llmos.wire.evaluation_recipe import is_evaluation

MAX_TOLD = 8
_KINDS = {
    "number": lazy("a number"),
    "integer": lazy("a whole number"),
    "string": lazy("a text"),
    "boolean": lazy("true or false"),
    "array": lazy("a list"),
    "object": lazy("an object of fields"),
}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_TRUTHS = {"true", "false", "yes", "no", "on", "off", "t", "f", "y", "n", "0", "1"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """`field` is the path of names, as `data.sources.0.dataset`; `what` is a sentence without a beginning."""

    line: int
    field: str
    what: str


def checked_recipe(text: str) -> dict[str, Any]:
    """A training recipe from YAML, as `read_recipe` reads it. BadRequest names each mistake's line and field;
    `data["field"]` is "yaml", and `data["problems"]` lists them."""
    recipe = read_recipe(text)
    if is_evaluation(recipe) or is_contamination(recipe):
        return recipe
    found = list(islice(find_mistakes(text, recipe), MAX_TOLD))
    if not found:
        return recipe
    told = ""
    for one in reversed(found):
        line = lazy("Line %(line)s: %(field)s: %(what)s", line=one.line, field=one.field, what=one.what)
        told = lazy("%(first)s %(more)s", first=line, more=told) if told else line
    problems = [{"line": one.line, "field": one.field, "message": str(one.what)} for one in found]
    raise BadRequest(told, data={"field": "yaml", "problems": problems})


def find_mistakes(text: str, recipe: dict[str, Any]) -> Iterator[Mistake]:
    """What of `recipe`, which `text` says, the schema does not allow."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    yield from _check(recipe, recipe_schema(), root, 1, ())


def _check(
    value: Any, schema: dict[str, Any], node: yaml.Node | None, line: int, path: tuple[str, ...]
) -> Iterator[Mistake]:
    schema = _meant(value, schema)
    if value is None and schema.get("type") == "null":
        return
    field = ".".join(path) or "recipe"
    if (names := schema.get("enum", [schema["const"]] if "const" in schema else None)) is not None:
        if value not in names:
            yield Mistake(line, field, _no_such_value(value, names))
    elif not _is_a(value, schema.get("type")):
        kind = _KINDS.get(schema["type"], schema["type"])
        yield Mistake(line, field, lazy("must be %(kind)s, not %(value)s.", kind=kind, value=_shown(value)))
    elif isinstance(value, dict):
        yield from _check_fields(value, schema, node, line, path)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            below = node.value[number] if isinstance(node, yaml.SequenceNode) else None
            at = below.start_mark.line + 1 if below is not None else line
            yield from _check(item, schema.get("items", {}), below, at, (*path, str(number)))
    else:
        for bound, sign in _BOUNDS.items():
            if bound in schema and not _is_within(value, bound, schema[bound]):
                what = lazy(
                    "must be %(kind)s, not %(value)s.", kind=f"{sign} {schema[bound]}", value=_shown(value)
                )
                yield Mistake(line, field, what)


def _check_fields(
    value: dict[Any, Any], schema: dict[str, Any], node: yaml.Node | None, line: int, path: tuple[str, ...]
) -> Iterator[Mistake]:
    fields, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    lines: dict[str, tuple[int, yaml.Node]] = {}
    for key, below in node.value if isinstance(node, yaml.MappingNode) else ():
        name, at = str(key.value), key.start_mark.line + 1
        if name in lines:
            yield Mistake(at, ".".join((*path, name)), lazy("is there twice."))
        lines[name] = (at, below)
    for name, item in value.items():
        at, found = lines.get(str(name), (line, None))
        where = (*path, str(name))
        if name in fields:
            yield from _check(item, fields[name], found, at, where)
        elif others is False:
            yield Mistake(at, ".".join(where), _no_such_field(str(name), list(fields)))
        elif isinstance(others, dict):
            yield from _check(item, others, found, at, where)
    for name in schema.get("required", ()):
        if name not in value:
            yield Mistake(line, ".".join((*path, name)), lazy("must be there."))


def _meant(value: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """The alternative that the value is nearest to, with references followed."""
    while "$ref" in schema:
        schema = recipe_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" not in schema:
        return schema
    kinds = [_meant(value, kind) for kind in schema["anyOf"]]
    fitting = [kind for kind in kinds if next(_check(value, kind, None, 1, ()), None) is None]
    same = [kind for kind in kinds if _is_a(value, kind.get("type")) and kind.get("type") != "null"]
    return (fitting or same or [kind for kind in kinds if kind.get("type") != "null"] or kinds)[0]


def _is_a(value: Any, kind: str | None) -> bool:
    """As generous as the training lab: numbers may be written as texts, YAML makes one of 1e-3."""
    if kind in ("number", "integer"):
        number = _number(value)
        return number is not None and (kind == "number" or number.is_integer())
    if kind == "boolean":
        return isinstance(value, bool) or str(value).lower() in _TRUTHS
    shapes: dict[str | None, type] = {"string": str, "array": list, "object": dict, "null": type(None)}
    return kind not in shapes or isinstance(value, shapes[kind])


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None


def _is_within(value: Any, bound: str, limit: float) -> bool:
    number = _number(value)
    if number is None:
        return True
    inside = {
        "minimum": number >= limit,
        "exclusiveMinimum": number > limit,
        "maximum": number <= limit,
        "exclusiveMaximum": number < limit,
    }
    return inside[bound]


def _no_such_field(name: str, names: list[str]) -> str:
    if near := get_close_matches(name, names, n=1, cutoff=0.5):
        return lazy("there is no such field; did you mean %(near)s?", near=near[0])
    return lazy("there is no such field; there are: %(names)s.", names=", ".join(names))


def _no_such_value(value: Any, names: list[Any]) -> str:
    said, all_names = _shown(value), ", ".join(map(str, names))
    if near := get_close_matches(str(value), list(map(str, names)), n=1, cutoff=0.4):
        return lazy(
            "%(value)s is not one of %(names)s; did you mean %(near)s?",
            value=said,
            names=all_names,
            near=near[0],
        )
    return lazy("%(value)s is not one of %(names)s.", value=said, names=all_names)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
