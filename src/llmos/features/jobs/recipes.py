"""What a training recipe reads and writes, so that a job of it can declare them.

The hub knows of a recipe only what its JSON schema (`wire/recipe_schema.json`) says; the training lab,
which owns the format, checks the rest when the job starts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from llmos.core.errors import BadRequest
from llmos.infra.i18n import lazy
from llmos.wire.contamination_recipe import KEY as CHECK
from llmos.wire.contamination_recipe import PARTS as CHECKED
from llmos.wire.contamination_recipe import is_contamination
from llmos.wire.evaluation_recipe import is_evaluation

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
MAX_YAML_CHARS = 60_000


@lru_cache
def recipe_schema_text() -> str:
    """The JSON schema of recipes as this version's training lab writes it."""
    return files("llmos.wire").joinpath("recipe_schema.json").read_text(encoding="utf-8")


@lru_cache
def recipe_schema() -> dict[str, Any]:
    """`recipe_schema_text`, read."""
    found: dict[str, Any] = json.loads(recipe_schema_text())
    return found


def quickstart_text(owner: str) -> str:
    """The recipe of a first model, which needs no data set of its own; the model goes to `owner`."""
    text = files("llmos.wire").joinpath("quickstart.yaml").read_text(encoding="utf-8")
    return f"{text}push:\n  repo: {owner}/first-llm\n"


def recipe_part(value: Any, *names: str) -> Any:
    """The field at a path of names; None where something on the way is missing or no object."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def recipe_inputs(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """Volumes of a job for what the recipe names: data sets, base model, tokenizer."""
    found: dict[str, dict[str, Any]] = {}
    for kind, name, revision in _named(recipe):
        if isinstance(name, str) and _REPO.fullmatch(name):
            path = f"/inputs/{kind}s/{name}"
            volume = {"type": kind, "source": name, "mountPath": path}
            if isinstance(revision, str) and revision:
                volume["revision"] = revision
            found.setdefault(f"{kind}:{name}".lower(), volume)
    return list(found.values())


def _named(recipe: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    if is_contamination(recipe):
        for part in CHECKED:
            yield (
                "dataset",
                recipe_part(recipe, CHECK, part, "repo"),
                recipe_part(recipe, CHECK, part, "revision"),
            )
        return
    if is_evaluation(recipe):
        yield from _evaluated(recipe["evaluation"])
        return
    for part in ("sources", "validation"):
        sources = recipe_part(recipe, "data", part)
        for source in sources if isinstance(sources, list) else ():
            yield "dataset", recipe_part(source, "dataset"), recipe_part(source, "revision")
    model = recipe_part(recipe, "model")
    yield "model", recipe_part(model, "base"), recipe_part(model, "revision")
    tokenizer = recipe_part(recipe, "tokenizer")
    yield "model", recipe_part(tokenizer, "from"), recipe_part(tokenizer, "revision")


def _evaluated(plan: Any) -> Iterator[tuple[str, Any, Any]]:
    """What an evaluation reads: `llmos.wire.evaluation_recipe`."""
    for kind, part, field in (("model", "model", "repo"), ("dataset", "benchmark", "repo")):
        yield kind, recipe_part(plan, part, field), recipe_part(plan, part, "revision")
    yield "dataset", recipe_part(plan, "task", "dataset"), recipe_part(plan, "task", "revision")


def recipe_outputs(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """Where the recipe wants its model to go; what a check finds goes to the benchmark."""
    push = recipe_part(recipe, "push")
    repo = recipe_part(push, "repo")
    if not isinstance(repo, str) or not repo:
        return []
    branch = recipe_part(push, "branch")
    return [
        {
            "type": "dataset" if is_contamination(recipe) else "model",
            "repo": repo,
            "branch": branch if isinstance(branch, str) else "main",
            "pull_request": recipe_part(push, "pull_request") is True,
        }
    ]


def wants_public_output(recipe: dict[str, Any]) -> bool:
    return recipe_part(recipe, "push", "private") is False


def read_recipe(text: str) -> dict[str, Any]:
    """A recipe from YAML that somebody pasted. BadRequest names the line."""
    if len(text) > MAX_YAML_CHARS:
        raise BadRequest(lazy("The recipe is too long."), data={"field": "yaml"})
    try:
        # Aliases could unfold to gigabytes.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise BadRequest(lazy("A recipe may not use YAML aliases."), data={"field": "yaml"})
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        raise BadRequest(
            lazy("The recipe is no YAML: look at line %(line)s.", line=line), data={"field": "yaml"}
        ) from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise BadRequest(lazy("A recipe is a YAML object: objective, data, model, …"), data={"field": "yaml"})
    return value
