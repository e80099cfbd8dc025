"""What somebody asks for: a job before it exists, checked field by field.

The Hub's job specification, with these fields of ours beside it: `recipe` (then the job trains),
`outputs`, `dependsOn`, `runsOn` (labels a runner must have), `diskBytes`, `priority`, `quorum`, `public`.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from llmos.core.errors import BadRequest, LlmosError, NotBuilt
from llmos.core.names import split_repo_name
from llmos.core.variables import steers_programs
from llmos.features.jobs.flavors import DEFAULT_FLAVOR, find_flavor, refuse_space_image
from llmos.features.jobs.recipes import recipe_inputs, recipe_outputs, wants_public_output
from llmos.infra.i18n import lazy

MAX_ITEMS = 500
MAX_TEXT_CHARS = 100_000
MAX_RECIPE_BYTES = 256 * 1024
MAX_RECIPE_DEPTH = 12
MAX_TIMEOUT_S = 7 * 86400
DEFAULT_TIMEOUT_S = 1800
MAX_ATTEMPTS = 20
MAX_PRIORITY = 10
MAX_QUORUM = 5
MAX_DISK_BYTES = 2**50
MAX_VOLUMES = 50
VOLUME_TYPES = ("model", "dataset", "space", "bucket")
# The label by which a job asks to reach the network.
NETWORK_LABEL = "network"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_LABEL = re.compile(r"[A-Za-z0-9._-]{1,100}")
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")


class VolumeRequest(BaseModel):
    """Files to lay out in the job; `read_only` False is for buckets alone."""

    model_config = ConfigDict(frozen=True)

    type: Literal["model", "dataset", "space", "bucket"]
    source: str
    mount_path: str
    revision: str | None = None
    sub_path: str = ""
    read_only: bool = True

    def to_hub(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "type": self.type,
            "source": self.source,
            "mountPath": self.mount_path,
            "readOnly": self.read_only,
        }
        if self.revision:
            found["revision"] = self.revision
        if self.sub_path:
            found["path"] = self.sub_path
        return found


class OutputRequest(BaseModel):
    """A folder of the job that becomes a commit, or with `pull_request` one that others may merge."""

    model_config = ConfigDict(frozen=True)

    repo: str
    type: Literal["model", "dataset", "space", "bucket"] = "model"
    branch: str = "main"
    path: str = "output"
    pull_request: bool = False


class JobRequest(BaseModel):
    """A checked request. `secrets` never reaches the stored specification."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["command", "recipe"] = "command"
    image: str = ""
    command: list[str] = []
    arguments: list[str] = []
    environment: dict[str, str] = {}
    secrets: dict[str, str] = {}
    secret_names: list[str] = []
    recipe: dict[str, Any] | None = None
    volumes: list[VolumeRequest] = []
    outputs: list[OutputRequest] = []
    flavor: str = DEFAULT_FLAVOR
    disk_bytes: int = 0
    timeout_s: float = DEFAULT_TIMEOUT_S
    max_attempts: int = 1
    labels: dict[str, str] = {}
    runs_on: dict[str, str] = {}
    depends_on: list[str] = []
    priority: int = 0
    quorum: int = 1
    is_public: bool = False

    def stored(self) -> dict[str, Any]:
        """The specification to keep: everything but the secrets, whose names remain."""
        return self.model_dump(mode="json", exclude={"secrets"}) | {"secret_names": sorted(self.secrets)}

    @property
    def has_public_outputs(self) -> bool:
        """Whether repositories made for its outputs are for everybody to see."""
        return self.is_public if self.recipe is None else wants_public_output(self.recipe)

    @property
    def wants_network(self) -> bool:
        return self.labels.get(NETWORK_LABEL) == "internet"

    @property
    def title(self) -> str:
        if self.labels.get("name"):
            return self.labels["name"][:200]
        if self.recipe is not None:
            return str(self.recipe.get("name") or "recipe")[:200]
        return " ".join([*self.command, *self.arguments])[:200]


def parse_request(body: Mapping[str, Any]) -> JobRequest:
    """A job specification as clients send it. Raises BadRequest that names the field, NotBuilt (501)
    for what no runner offers: ports, SSH, private networks, images of Spaces."""
    _refuse_unbuilt(body)
    recipe = _recipe(body.get("recipe"))
    command = _texts(body, "command")
    if recipe is None and not command:
        raise _bad("command", lazy("command is missing: it must be a list such as ['python', 'train.py']."))
    return JobRequest(
        kind="command" if recipe is None else "recipe",
        image=_text(body, "dockerImage"),
        command=command,
        arguments=_texts(body, "arguments"),
        environment=_variables(body, "environment", is_recipe=recipe is not None),
        secrets=_variables(body, "secrets", is_recipe=recipe is not None),
        recipe=recipe,
        volumes=_volumes(body, recipe),
        outputs=_outputs(body, recipe),
        flavor=find_flavor(_text(body, "flavor") or DEFAULT_FLAVOR).name,
        disk_bytes=_number(body, "diskBytes", 0, 0, MAX_DISK_BYTES),
        timeout_s=_number(body, "timeoutSeconds", DEFAULT_TIMEOUT_S, 1, MAX_TIMEOUT_S),
        max_attempts=_number(body, "attempts", 1, 1, MAX_ATTEMPTS),
        labels=parse_labels(body.get("labels")),
        runs_on=parse_labels(body.get("runsOn"), field="runsOn"),
        depends_on=_ids(body, "dependsOn"),
        priority=_number(body, "priority", 0, -MAX_PRIORITY, MAX_PRIORITY),
        quorum=_number(body, "quorum", 1, 1, MAX_QUORUM),
        is_public=body.get("public") is True,
    )


def _refuse_unbuilt(body: Mapping[str, Any]) -> None:
    if body.get("spaceId"):
        refuse_space_image(str(body["spaceId"]))
    for field in ("expose", "ssh", "network"):
        if body.get(field):
            raise NotBuilt(
                lazy("%(field)s: jobs run behind no public address here; leave it out.", field=field)
            )


def parse_labels(value: Any, *, field: str = "labels") -> dict[str, str]:
    """Labels as clients send them. Raises BadRequest."""
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > 50:
        raise _bad(field, lazy("%(field)s must be an object of at most 50 texts.", field=field))
    found = {}
    for key, text in value.items():
        if not isinstance(key, str) or not _LABEL.fullmatch(key):
            raise _bad(
                field,
                lazy("%(field)s: names hold letters, digits, dots, dashes and underscores.", field=field),
            )
        if not isinstance(text, str) or len(text) > 200 or not text.isprintable():
            raise _bad(field, lazy("%(field)s: a value is a text of at most 200 characters.", field=field))
        found[key] = text
    return found


def _bad(field: str, message: str) -> BadRequest:
    return BadRequest(message, data={"field": field})


def _text(body: Mapping[str, Any], field: str, limit: int = 500) -> str:
    value = body.get(field)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise _bad(
            field, lazy("%(field)s must be a text of at most %(limit)s characters.", field=field, limit=limit)
        )
    return value


def _list(body: Mapping[str, Any], field: str, limit: int = MAX_VOLUMES) -> list[Any]:
    value = body.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > limit:
        raise _bad(
            field, lazy("%(field)s must be a list of at most %(limit)s items.", field=field, limit=limit)
        )
    return value


def _texts(body: Mapping[str, Any], field: str) -> list[str]:
    items = _list(body, field, MAX_ITEMS)
    if not all(isinstance(item, str) and "\0" not in item for item in items):
        raise _bad(field, lazy("%(field)s must hold texts only.", field=field))
    if sum(map(len, items)) > MAX_TEXT_CHARS:
        raise _bad(
            field, lazy("%(field)s is longer than %(limit)s characters.", field=field, limit=MAX_TEXT_CHARS)
        )
    return items


def _variables(body: Mapping[str, Any], field: str, *, is_recipe: bool) -> dict[str, str]:
    """A recipe is data: what would change the program that reads it is refused."""
    value = body.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MAX_ITEMS:
        raise _bad(field, lazy("%(field)s must be an object of names and texts.", field=field))
    found = {}
    for key, item in value.items():
        if not isinstance(key, str) or not _VARIABLE.fullmatch(key):
            raise _bad(
                field,
                lazy("%(field)s: %(key)s is no name of a variable.", field=field, key=repr(str(key)[:60])),
            )
        if not isinstance(item, str | int | float) or "\0" in str(item) or len(str(item)) > MAX_TEXT_CHARS:
            raise _bad(field, lazy("%(field)s: the value of %(key)s must be a text.", field=field, key=key))
        if is_recipe and steers_programs(key):
            raise _bad(
                field,
                lazy(
                    "%(field)s: a training may not set %(key)s, which decides what programs load.",
                    field=field,
                    key=key,
                ),
            )
        found[key] = str(item).lower() if isinstance(item, bool) else str(item)
    return found


def _number(body: Mapping[str, Any], field: str, default: int, low: int, high: int) -> int:
    value = body.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise _bad(
            field,
            lazy("%(field)s must be a number from %(low)s to %(high)s.", field=field, low=low, high=high),
        )
    return int(value)


def _ids(body: Mapping[str, Any], field: str) -> list[str]:
    items = _texts(body, field)
    if not all(_OBJECT_ID.fullmatch(item) for item in items):
        raise _bad(field, lazy("%(field)s must hold ids of jobs.", field=field))
    return list(dict.fromkeys(items))


def is_deeper(value: Any, limit: int) -> bool:
    """Whether objects and lists lie in each other more than `limit` times."""
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, dict | list) for item in level)


def _recipe(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _bad("recipe", lazy("recipe must be an object."))
    if is_deeper(value, MAX_RECIPE_DEPTH):
        raise _bad("recipe", lazy("recipe is nested too deeply."))
    try:
        size_bytes = len(json.dumps(value, allow_nan=False).encode())
    except (ValueError, RecursionError) as error:
        raise _bad("recipe", lazy("recipe holds what is neither text, number, list nor object.")) from error
    if size_bytes > MAX_RECIPE_BYTES or "\\u0000" in json.dumps(value):
        raise _bad("recipe", lazy("recipe is too long, or holds a NUL character."))
    return value


def _volumes(body: Mapping[str, Any], recipe: dict[str, Any] | None) -> list[VolumeRequest]:
    """What was declared, and what the recipe names beside."""
    found = [_volume(item) for item in _list(body, "volumes")]
    declared = {(item.type, item.source.lower()) for item in found}
    named = [_volume(item) for item in recipe_inputs(recipe)] if recipe is not None else []
    return found + [item for item in named if (item.type, item.source.lower()) not in declared]


def _outputs(body: Mapping[str, Any], recipe: dict[str, Any] | None) -> list[OutputRequest]:
    found = [_output(item) for item in _list(body, "outputs")]
    return found or [_output(item) for item in (recipe_outputs(recipe) if recipe is not None else ())]


def _volume(value: Any) -> VolumeRequest:
    if not isinstance(value, dict) or value.get("type") not in VOLUME_TYPES:
        raise _bad(
            "volumes",
            lazy("volumes: each has a type, one of %(types)s.", types=", ".join(VOLUME_TYPES)),
        )
    kind, source, path = value["type"], _text(value, "source"), _text(value, "mountPath", 1000)
    _check_name(source, "volumes")
    if not path.startswith("/") or posixpath.normpath(path) in ("/", "//") or ".." in path.split("/"):
        raise _bad(
            "volumes", lazy("volumes: mountPath must be a folder below /, such as /data, without '..'.")
        )
    read_only = value.get("readOnly")
    return VolumeRequest(
        type=kind,
        source=source,
        mount_path=posixpath.normpath(path),
        revision=_text(value, "revision", 200) or None,
        sub_path=_inner_path(_text(value, "path", 1000), "volumes"),
        read_only=kind != "bucket" or read_only is True,
    )


def _output(value: Any) -> OutputRequest:
    if not isinstance(value, dict) or value.get("type", "model") not in VOLUME_TYPES:
        raise _bad("outputs", lazy("outputs: each has a repo and a type of repository."))
    repo = _text(value, "repo")
    _check_name(repo, "outputs")
    return OutputRequest(
        repo=repo,
        type=value.get("type", "model"),
        branch=_text(value, "branch", 200) or "main",
        path=_inner_path(_text(value, "path", 1000), "outputs") or "output",
        pull_request=value.get("pull_request") is True,
    )


def _check_name(name: str, field: str) -> None:
    try:
        split_repo_name(name, field=field)
    except LlmosError as error:
        raise _bad(field, error.message) from error


def _inner_path(path: str, field: str) -> str:
    """A path inside a repository or the working folder, without a slash at either end."""
    path = path.strip("/")
    if path and (".." in path.split("/") or posixpath.normpath(path) != path):
        raise _bad(
            field, lazy("%(field)s: %(path)s is no plain path below its root.", field=field, path=repr(path))
        )
    return path
