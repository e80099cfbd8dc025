"""The form of a new job, filled in with a recipe: of an earlier run, or from a repository."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, EntryNotFound
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.jobs.comparison import dump
from llmos.features.jobs.flavors import GIB
from llmos.features.jobs.models import Job
from llmos.features.jobs.pages.recipe_form import ESSENTIAL, RecipeField, collect_recipe, recipe_groups
from llmos.features.jobs.recipes import MAX_YAML_CHARS, read_recipe, recipe_part, recipe_schema
from llmos.features.jobs.requests import MAX_RECIPE_DEPTH, is_deeper
from llmos.features.repos.files import open_git, read_text
from llmos.features.repos.policy import access_repo, check_content
from llmos.infra.git.repository import default_branch
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.forms import Form

RECIPE_FILE = "recipe.yaml"


def values_of_job(job: Job, owner: Namespace, *, is_member: bool) -> dict[str, str]:
    """What the form shows for another job like this one, of `owner`; variables go to members alone."""
    spec = job.spec
    values = {"kind": job.kind, "flavor": spec["flavor"], "image": spec["image"]}
    values["minutes"] = f"{job.timeout_s / 60:g}"
    values["quorum"] = str(job.quorum)
    values["disk"] = f"{job.disk_bytes / GIB:g}" if job.disk_bytes else ""
    values["command"] = shlex.join([*spec["command"], *spec["arguments"]])
    if is_member:
        values["environment"] = "\n".join(f"{key}={value}" for key, value in spec["environment"].items())
    if spec["recipe"] is not None:
        values |= values_of_recipe(spec["recipe"], owner.name)
    return values


def values_of_file(db: Session, rt: Runtime, actor: Actor, name: str, owner: Namespace) -> dict[str, str]:
    """What the form shows for the recipe in the main branch of a model. Raises what `access_repo` does,
    EntryNotFound without such a file, BadRequest where it is no recipe."""
    repo = access_repo(db, actor, RepoType.MODEL, *split_repo_name(name))
    check_content(db, actor, repo, RECIPE_FILE)
    main = default_branch(open_git(rt, repo))
    text = read_text(rt, repo, main, RECIPE_FILE, max_bytes=4 * MAX_YAML_CHARS).text
    if text is None:
        raise EntryNotFound(lazy("Entry not found: this model has no readable recipe.yaml."))
    recipe = read_recipe(text)
    if is_deeper(recipe, MAX_RECIPE_DEPTH):
        raise BadRequest(lazy("recipe is nested too deeply."), data={"field": "recipe"})
    return values_of_recipe(recipe, owner.name)


def values_of_recipe(recipe: Mapping[str, Any], owner: str) -> dict[str, str]:
    """The fields of the form, or the recipe as YAML where it says what no field holds.

    The model is to go to `owner`, under the name it had.
    """
    target = recipe_part(recipe, "push", "repo")
    if isinstance(target, str) and target:
        push = {**recipe["push"], "repo": f"{owner}/{target.rpartition('/')[2]}"}
        recipe = {**recipe, "push": push}
    groups = recipe_groups(recipe_schema())
    fields = {field.path: field for group in groups for field in group.fields}
    try:
        values = _form_values(recipe, fields)
        values |= {g.title: "on" for g in groups if g.is_optional and isinstance(recipe.get(g.title), dict)}
        again = collect_recipe(Form({name: [text] for name, text in values.items()}), groups)
    except (BadRequest, _NoField):
        return {"yaml": dump(recipe)}
    if _plain(again, fields) != _plain(recipe, fields):
        return {"yaml": dump(recipe)}
    return values


class _NoField(Exception):
    """The form has no field for a part of the recipe."""


def _form_values(recipe: Mapping[str, Any], fields: Mapping[str, RecipeField]) -> dict[str, str]:
    if not recipe.get("objective"):
        raise _NoField
    values = dict.fromkeys(ESSENTIAL, "") | {"yaml": ""}
    if recipe_part(recipe, "push", "private") is False:
        del values["push.private"]
    ticked = {path for path, field in fields.items() if field.kind == "check" and field.default}
    for path, value in _leaves(recipe, "", fields):
        if value is None or path in ("version", "push.private"):
            continue
        if path in fields and fields[path].kind == "check":
            ticked = ticked | {path} if value else ticked - {path}
        elif path in ESSENTIAL:
            values[path] = _text(value)
        else:
            values[path] = _shown(value, fields[path])
    return values | dict.fromkeys(ticked, "on")


def _leaves(value: Any, path: str, fields: Mapping[str, RecipeField]) -> Iterator[tuple[str, Any]]:
    """Values that a field holds, by its path. Raises _NoField for others."""
    if path in fields or path in ESSENTIAL or path == "version" or value is None:
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key), fields)
    elif isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        yield from _leaves(value[0], f"{path}.0", fields)
    elif value != []:
        raise _NoField


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise _NoField
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _shown(value: Any, field: RecipeField) -> str:
    if isinstance(value, dict) and field.is_pairs:
        return "\n".join(f"{key}: {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list) and field.kind == "lines":
        return "\n".join(_text(item) for item in value)
    return _text(value)


def _plain(recipe: Mapping[str, Any], fields: Mapping[str, RecipeField]) -> dict[str, Any]:
    """What a recipe says beyond defaults."""
    found = {path: value for path, value in _leaves(recipe, "", fields) if value not in (None, [], {})}
    return {
        path: value
        for path, value in found.items()
        if path not in ("version", "push.private") and not (path in fields and fields[path].default == value)
    }
