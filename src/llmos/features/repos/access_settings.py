"""Who may see a repository: visibility and gating, changed by its admins."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.repos.lifecycle import event_payload
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import check_admin
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit

GATED = {False: "", "auto": "auto", "manual": "manual"}


def parse_gated(value: Any) -> str:
    """The stored word for `"auto"`, `"manual"` or `false`; BadRequest for anything else."""
    if isinstance(value, (str, bool)) and value in GATED:
        return GATED[value]
    raise BadRequest(lazy("gated must be 'auto', 'manual' or false, not %(value)r.", value=value))


def update_settings(
    db: Session, actor: Actor, repo: Repo, *, visibility: str | None = None, gated: str | None = None
) -> Repo:
    """Change what is given (already parsed); an audit row and an event for every real change.

    Raises Forbidden unless the actor may administer the repository.
    """
    check_admin(actor, repo)
    changes: dict[str, Any] = {}
    if visibility is not None and visibility != repo.visibility:
        changes["visibility"] = [repo.visibility, visibility]
        repo.visibility = visibility
    if gated is not None and gated != repo.gated:
        changes["gated"] = [repo.gated, gated]
        repo.gated = gated
    if changes:
        audit.record(db, actor, "repo.settings", repo.key, **changes)
        emit(db, "RepoSettingsChanged", event_payload(actor, repo) | {"changes": changes})
    return repo
