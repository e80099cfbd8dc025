"""Reads a recipe and says of every mistake where it is and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from llmos.core.errors import Unprocessable
from llmos.lab.recipes.schema import Recipe
from llmos.lab.samples import FOLDER as SAMPLES
from llmos.lab.samples import LICENCES, PREFIX

MAX_RECIPE_BYTES = 1_000_000


class RecipeError(Unprocessable):
    """The recipe cannot be used. `data["problems"]` lists line, field and message of each mistake."""

    code = "BadRecipe"


def load_recipe(path: Path) -> Recipe:
    """The recipe in a YAML or JSON file. Raises RecipeError with all mistakes and their lines."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: the recipe cannot be read ({error.strerror}).") from error
    if len(raw) > MAX_RECIPE_BYTES:
        raise RecipeError(f"{path}: a recipe has at most {MAX_RECIPE_BYTES:,} bytes, this has {len(raw):,}.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: a recipe is UTF-8 text; byte {error.start} is not.") from error
    return parse_recipe(text, str(path))


def parse_recipe(text: str, name: str = "recipe") -> Recipe:
    """The recipe in `text`. Raises RecipeError; `name` begins its lines."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _refuse(name, [(mark.line + 1 if mark else 1, "", f"not YAML: {error.problem}")]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _refuse(name, [(1, "", f"not YAML: {error}")]) from error
    if root is None or not isinstance(value, dict):
        raise _refuse(name, [(1, "", "a recipe is a YAML mapping that begins with: objective: clm")])
    twice = [(line, field, "is there twice") for line, field in _doubles(root, ())]
    if twice:
        raise _refuse(name, twice)
    try:
        return Recipe.model_validate(value)
    except ValidationError as error:
        raise _refuse(name, [_problem(root, dict(e)) for e in error.errors(include_url=False)]) from error


def dump_recipe(recipe: Recipe, *, whole: bool = False) -> str:
    """The recipe as YAML, what was set and nothing else; `parse_recipe` gives an equal one back.

    `whole`: what is at its default, too.
    """
    value = recipe.model_dump(mode="json", by_alias=True, exclude_unset=not whole)
    return yaml.safe_dump(
        {"version": 1, **value}, sort_keys=False, allow_unicode=True, default_flow_style=False
    )


def dump_for_others(recipe: Recipe, *, whole: bool = False) -> str:
    """`dump_recipe` of the recipe `for_others`."""
    return dump_recipe(for_others(recipe), whole=whole)


def for_others(recipe: Recipe) -> Recipe:
    """The recipe with the names of local files and models instead of where they lie on this machine."""
    copy = recipe.model_copy(deep=True)
    for source in [*copy.data.sources, *copy.data.validation]:
        if source.files:
            source.files = [_name_for_others(name) for name in source.files]
    if copy.model.base and is_folder(copy.model.base):
        copy.model.base = Path(copy.model.base).name or copy.model.base
    if copy.tokenizer.from_ and is_folder(copy.tokenizer.from_):
        copy.tokenizer.from_ = Path(copy.tokenizer.from_).name or copy.tokenizer.from_
    return copy


def _name_for_others(name: str) -> str:
    path = Path(name)
    is_sample = path.is_absolute() and path.parent == SAMPLES and path.name in LICENCES
    return name if name.startswith(PREFIX) else (PREFIX if is_sample else "") + (path.name or name)


def is_folder(name: str) -> bool:
    """Whether a base model or tokenizer is named by where it lies, not as ada/tiny-llm."""
    return name.startswith(("/", ".", "~")) or name.count("/") != 1 or Path(name).is_dir()


def _refuse(name: str, problems: list[tuple[int, str, str]]) -> RecipeError:
    problems = sorted(set(problems))
    lines = [f"{name}:{line}: {field + ': ' if field else ''}{what}" for line, field, what in problems]
    facts = [{"line": line, "field": field, "message": what} for line, field, what in problems]
    return RecipeError("\n".join(lines), data={"problems": facts})


def _doubles(node: yaml.Node, path: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, child in node.value:
            where = (*path, str(key.value))
            if key.value in seen:
                yield key.start_mark.line + 1, ".".join(where)
            seen.add(key.value)
            yield from _doubles(child, where)
    elif isinstance(node, yaml.SequenceNode):
        for number, child in enumerate(node.value):
            yield from _doubles(child, (*path, str(number)))


def _problem(root: yaml.Node, error: dict[str, Any]) -> tuple[int, str, str]:
    line, found = _locate(root, error["loc"])
    field = ".".join(map(str, found))
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if error["type"] == "extra_forbidden":
        names = _fields_at(found[:-1])
        near = get_close_matches(str(found[-1]), names, n=1, cutoff=0.5)
        message = "there is no such field"
        message += f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(names)}"
    elif error["type"] == "literal_error":
        near = get_close_matches(str(error["input"]), _words(error["ctx"]["expected"]), n=1, cutoff=0.4)
        message = f"{error['input']!r} is not one of {error['ctx']['expected']}"
        message += f"; did you mean {near[0]}?" if near else ""
    elif error["type"] == "missing":
        field = ".".join(map(str, error["loc"]))
        message = "must be there"
    elif error["type"] not in ("value_error", "missing"):
        message += f" (found {error['input']!r:.60})"
    return line, field, message


def _words(expected: str) -> list[str]:
    return expected.replace(" or ", ", ").replace("'", "").split(", ")


def _locate(root: yaml.Node, loc: tuple[Any, ...]) -> tuple[int, tuple[Any, ...]]:
    """The line of the deepest part of `loc` that the text has, and that part."""
    node, line, found = root, root.start_mark.line + 1, []
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, child) for key, child in node.value if key.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
        found.append(part)
    return line, tuple(found)


def _fields_at(path: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the section at `path`."""
    section: type[BaseModel] = Recipe
    for part in path:
        field = section.model_fields.get(str(part)) if not isinstance(part, int) else None
        if field is None:
            continue
        section = next(iter(_sections(field.annotation)), section)
    return [field.alias or name for name, field in section.model_fields.items()]


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections(inner)
