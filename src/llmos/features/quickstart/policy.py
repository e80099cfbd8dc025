"""Who may see and change a run."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from llmos.core.errors import Forbidden, NotFound, Unauthenticated
from llmos.features.accounts.actor import Actor
from llmos.features.quickstart.models import QuickstartRun
from llmos.infra.i18n import lazy


def can_change(actor: Actor, run: QuickstartRun) -> bool:
    """Whose run it is; admins of the instance may stop it, too."""
    if actor.is_suspended or actor.token_role not in (None, "write"):
        return False
    return actor.user_id == run.user_id or actor.is_admin


def check_change(actor: Actor, run: QuickstartRun) -> None:
    if not can_change(actor, run):
        raise Forbidden(lazy("This is somebody else's run."))


def access_run(db: Session, actor: Actor, object_id: str) -> QuickstartRun:
    """The run, for its owner and for admins. Raises Unauthenticated for visitors, NotFound for others."""
    if actor.is_anonymous:
        raise Unauthenticated(lazy("Sign in, or send an access token, to do this."))
    statement = select(QuickstartRun).where(QuickstartRun.object_id == object_id)
    statement = statement.options(joinedload(QuickstartRun.train_job))
    run = db.scalars(statement).unique().one_or_none()
    if run is None or (run.user_id != actor.user_id and not actor.is_admin):
        raise NotFound(lazy("There is no such run that you can see."))
    return run
