"""Warnings, suspensions and bans: with a reason, an end, and a way back."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.moderation.models import BAN, SUSPEND, WARN, Measure, Sanction
from llmos.features.moderation.power import check_can_sanction
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit

KINDS = (WARN, SUSPEND, BAN)
MAX_DAYS = 3650
MAX_REASON_CHARS = 1000
MEASURE_TAKEN = "ModerationMeasureTaken"


def impose(
    db: Session,
    actor: Actor,
    user: User,
    kind: str,
    reason: str,
    *,
    days: int | None = None,
    case_id: int | None = None,
) -> Measure:
    """Warn, suspend or ban a person; `days` None: without end. The stricter sanction in force stays.

    Raises as `check_can_sanction`, BadRequest (kind, reason, days).
    """
    check_can_sanction(db, actor, user)
    reason = check_reason(reason)
    if kind not in KINDS:
        raise BadRequest(lazy("kind must be warn, suspend or ban."))
    if days is not None and not 1 <= days <= MAX_DAYS:
        raise BadRequest(lazy("days must be 1 to %(limit)s, or empty for no end.", limit=MAX_DAYS))
    ends_at = clock.now() + timedelta(days=days) if days is not None and kind != WARN else None
    measure = _impose(db, actor.user_id, user, kind, reason, ends_at, case_id)
    audit.record(db, actor, f"user.{kind}", user.name, reason=reason, days=days)
    return measure


def check_reason(reason: str) -> str:
    """The reason as the person will read it; BadRequest when there is none."""
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON_CHARS or "\0" in reason:
        raise BadRequest(
            lazy(
                "Give a reason of at most %(limit)s characters: the person reads it.", limit=MAX_REASON_CHARS
            )
        )
    return reason


def suspend_until_judged(db: Session, user: User, *, days: int) -> Measure:
    """What the weight of reports does to a newcomer who is reported for spam."""
    ends_at = clock.now() + timedelta(days=days)
    return _impose(db, None, user, SUSPEND, "reported", ends_at, None)


def _impose(
    db: Session,
    actor_id: int | None,
    user: User,
    kind: str,
    reason: str,
    ends_at: datetime | None,
    case_id: int | None,
) -> Measure:
    measure = Measure(
        case_id=case_id,
        actor_id=actor_id,
        verb=kind,
        subject_kind="user",
        subject_id=user.id,
        user_id=user.id,
        reason=reason,
        data={"ends_at": clock.to_json(ends_at) if ends_at else None},
    )
    db.add(measure)
    db.flush()
    sanction = Sanction(
        user_id=user.id, kind=kind, reason=reason, measure_id=measure.id, imposed_by_id=actor_id,
        ends_at=ends_at,
    )  # fmt: skip
    db.add(sanction)
    db.flush()
    refresh(db, user)
    tell_measure(db, measure)
    return measure


def lift(db: Session, actor: Actor, measure: Measure) -> None:
    """End the sanction a measure imposed. The caller has checked that the actor may."""
    row = db.scalar(select(Sanction).where(Sanction.measure_id == measure.id))
    if row is None or row.lifted_at is not None:
        return
    row.lifted_at = clock.now()
    db.flush()
    refresh(db, row.user)
    audit.record(db, actor, f"user.un{row.kind}", row.user.name)


def refresh(db: Session, user: User) -> None:
    """Bring the account's own mark up to date with the sanctions in force: a ban before a suspension
    before a warning nobody has read yet, the one that ends last before the others."""
    now = clock.now()
    rows = [row for row in in_force(db, user.id, now) if row.kind != WARN or row.seen_at is None]
    rows.sort(key=lambda row: (KINDS.index(row.kind), row.ends_at is None, row.ends_at or now))
    user.sanction = rows[-1].kind if rows else None
    user.sanctioned_until = rows[-1].ends_at if rows else None
    db.flush()


def note_read(db: Session, user: User, sanction_id: int) -> None:
    """The person has read a warning, which ends it; what suspends somebody goes on."""
    mine = (Sanction.id == sanction_id, Sanction.user_id == user.id, Sanction.kind == WARN)
    db.execute(update(Sanction).where(*mine, Sanction.seen_at.is_(None)).values(seen_at=clock.now()))
    refresh(db, user)


def in_force(db: Session, user_id: int, now: datetime | None = None) -> list[Sanction]:
    """Sanctions that have neither ended nor been lifted, warnings among them, oldest first."""
    at = now or clock.now()
    statement = select(Sanction).where(
        Sanction.user_id == user_id,
        Sanction.lifted_at.is_(None),
        Sanction.ends_at.is_(None) | (Sanction.ends_at > at),
    )
    return list(db.scalars(statement.order_by(Sanction.id)))


def tell_measure(db: Session, measure: Measure) -> None:
    """Let the person concerned hear of it."""
    emit(db, MEASURE_TAKEN, {"measure_id": measure.id, "actor_id": measure.actor_id})
