"""A form for recipes, made from their JSON schema, and a recipe from what was filled in.

Field names are paths (`training.max_minutes`). What is left empty is left out: the lab's defaults,
shown in the form, then hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llmos.core.errors import BadRequest
from llmos.infra.i18n import lazy
from llmos.infra.web.forms import Form
from llmos.ui.views import Option

# Asked for by the page itself, or of no use on a hub.
ESSENTIAL = (
    "name",
    "objective",
    "data.sources.0.dataset",
    "model.base",
    "model.preset",
    "training.max_minutes",
    "push.repo",
    "push.private",
)
_LEFT_OUT = {"version", "data.validation", "data.sources.0.files", "checkpoints.resume", "model.overrides"}


@dataclass(frozen=True)
class RecipeField:
    """One option. `kind`: text, number, select, check or lines."""

    path: str
    kind: str
    label: str
    hint: str
    default: Any
    options: tuple[Option, ...] = ()
    is_integer: bool = False
    is_pairs: bool = False

    @property
    def placeholder(self) -> str:
        return "" if self.default in (None, [], {}, "") else str(self.default)


@dataclass(frozen=True)
class RecipeGroup:
    """A section of the recipe; an optional one (`lora`) has a box to tick first."""

    title: str
    hint: str
    fields: tuple[RecipeField, ...]
    is_optional: bool = False


def _resolve(schema: Mapping[str, Any], node: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The node with its reference followed, and whether it may be left null."""
    merged = dict(node)
    optional = False
    if "anyOf" in merged:
        choices = [choice for choice in merged.pop("anyOf") if choice.get("type") != "null"]
        optional = True
        # Of several shapes the first is enough for a form: `all-linear` or a list of layers.
        merged |= choices[0] if choices else {}
    if "$ref" in merged:
        name = merged.pop("$ref").rpartition("/")[2]
        merged = schema["$defs"][name] | merged
    return merged, optional


def recipe_groups(schema: Mapping[str, Any]) -> list[RecipeGroup]:
    """Every section with its options, those of ESSENTIAL left out; nested sections stand by themselves."""
    found: list[RecipeGroup] = []
    _walk(schema, schema, "", "", False, found)
    return found


def _walk(
    schema: Mapping[str, Any],
    node: Mapping[str, Any],
    path: str,
    hint: str,
    optional: bool,
    found: list[RecipeGroup],
) -> None:
    fields: list[RecipeField] = []
    inner: list[tuple[Mapping[str, Any], str, str, bool]] = []
    for name, raw in node.get("properties", {}).items():
        part: Mapping[str, Any]
        here = f"{path}.{name}" if path else name
        part, may_miss = _resolve(schema, raw)
        words = str(raw.get("description") or part.get("description") or "")
        if part.get("type") == "array" and "$ref" in part.get("items", {}):
            part, _ = _resolve(schema, part["items"])
            here, may_miss = f"{here}.0", False
        if here in _LEFT_OUT or here.removesuffix(".0") in _LEFT_OUT:
            continue
        if "properties" in part:
            inner.append((part, here, words, may_miss))
        elif here not in ESSENTIAL:
            field = _field(here, name, part, words)
            fields += [field] if field else []
    if fields:
        found.append(RecipeGroup(path or "recipe", hint, tuple(fields), optional))
    for part, here, words, may_miss in inner:
        _walk(schema, part, here, words, may_miss, found)


def _field(path: str, name: str, part: Mapping[str, Any], words: str) -> RecipeField | None:
    default, reason = part.get("default"), part.get("reason")
    hint = f"{words} ({reason})" if reason and default is None else words
    type_name = str(part.get("type"))
    if "enum" in part:
        options = [Option(str(value), str(value)) for value in part["enum"]]
        return RecipeField(path, "select", name, hint, default, tuple(options))
    if type_name == "boolean":
        return RecipeField(path, "check" if default is not None else "select", name, hint, default, _YES_NO)
    kind = _KINDS.get(type_name)
    if kind is None:
        return None
    return RecipeField(
        path,
        kind,
        name,
        hint,
        default,
        is_integer=type_name == "integer",
        is_pairs=type_name == "object",
    )


_KINDS = {"integer": "number", "number": "number", "string": "text", "array": "lines", "object": "lines"}
_YES_NO = (Option("true", "true"), Option("false", "false"))


def collect_recipe(form: Form, groups: list[RecipeGroup]) -> dict[str, Any]:
    """The recipe a form describes. BadRequest names the field."""
    recipe: dict[str, Any] = {"version": 1}
    for path, value in _essentials(form):
        _put(recipe, path, value)
    for group in groups:
        if group.is_optional and not form.has(group.title):
            continue
        if group.is_optional:
            _put(recipe, group.title, {})
        for field in group.fields:
            value = _value(form, field)
            if value is not None:
                _put(recipe, field.path, value)
    return recipe


def _essentials(form: Form) -> Iterator[tuple[str, Any]]:
    for path in ESSENTIAL:
        text = form.text(path)
        if path == "push.private":
            if form.text("push.repo"):
                yield path, form.has(path)
        elif text and path == "training.max_minutes":
            yield path, _number(path, text, is_integer=False)
        elif text:
            yield path, text


def _value(form: Form, field: RecipeField) -> Any:
    if field.kind == "check":
        ticked = form.has(field.path)
        return ticked if ticked != bool(field.default) else None
    text = form.text(field.path)
    if not text or text == field.placeholder:
        return None
    if field.kind == "number":
        return _number(field.path, text, is_integer=field.is_integer)
    if field.kind == "lines":
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return dict(_pair(field.path, line) for line in lines) if field.is_pairs else lines
    if field.kind == "select" and field.options == _YES_NO:
        return text == "true"
    return text


def _pair(path: str, line: str) -> tuple[str, str]:
    key, colon, value = line.partition(":")
    if not colon or not key.strip():
        raise _bad(path, lazy("write each line as name: value"))
    return key.strip(), value.strip()


def _number(path: str, text: str, *, is_integer: bool) -> int | float:
    try:
        value = int(text) if is_integer else float(text)
    except ValueError as error:
        raise _bad(path, lazy("this must be a number")) from error
    if not -1e15 < value < 1e15:
        raise _bad(path, lazy("this must be a number"))
    return value


def _bad(path: str, why: str) -> BadRequest:
    return BadRequest(lazy("%(field)s: %(why)s.", field=path, why=why), data={"field": path})


def _put(recipe: dict[str, Any], path: str, value: Any) -> None:
    """Set `data.sources.0.dataset`, making the objects and the one-item lists on the way."""
    *names, last = path.split(".")
    place: Any = recipe
    for name, following in zip(names, path.split(".")[1:], strict=True):
        if name == "0":
            place = place[0]
            continue
        place = place.setdefault(name, [{}] if following == "0" else {})
    if last != "0":
        place[last] = value
