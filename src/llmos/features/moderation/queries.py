"""What the pages of moderation ask of the database; who may ask is decided before, by `scope`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy import case as when
from sqlalchemy.orm import Session, joinedload

from llmos.core.errors import BadRequest
from llmos.core.names import name_key
from llmos.core.pagination import Page, decode_cursor, make_page
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, User
from llmos.features.collections.models import Collection
from llmos.features.collections.service import slug_of
from llmos.features.discussions.hrefs import repo_href, thread_href
from llmos.features.discussions.models import Comment, Thread
from llmos.features.moderation.models import OPEN, REJECTED, UPHELD, Appeal, Case, Flag, Measure, Standing
from llmos.features.moderation.scope import Scope, cases_in, measures_in
from llmos.features.moderation.standing import LEADER
from llmos.features.moderation.subjects import COLLECTION, COMMENT, KINDS, REPO, THREAD, USER
from llmos.features.repos.cursors import cursor_int, cursor_number
from llmos.features.repos.models import Repo
from llmos.infra.i18n import lazy

PAGE_SIZE = 25
SORTS = ("weight", "oldest", "newest")
STATES = ("open", "judged", "mine")
# Replies around the reported one: shown as its context, and offered for a split.
AROUND = 25


@dataclass(frozen=True, slots=True)
class CaseFilters:
    """`state`: open, judged or mine (judged by the reader); `kind`: of the thing, or empty."""

    state: str = "open"
    kind: str = ""
    sort: str = "weight"

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise BadRequest(lazy("state must be one of %(list)s.", list=", ".join(STATES)))
        if self.kind and self.kind not in KINDS:
            raise BadRequest(lazy("kind must be one of %(list)s.", list=", ".join(KINDS)))
        if self.sort not in SORTS:
            raise BadRequest(lazy("sort must be one of %(list)s.", list=", ".join(SORTS)))


def list_cases(
    db: Session, actor: Actor, scope: Scope, filters: CaseFilters, cursor: str | None = None
) -> Page[Case]:
    """Cases with their owners, in one query."""
    statement = select(Case).where(*cases_in(scope, actor)).options(joinedload(Case.owner))
    if filters.state == "mine":
        statement = statement.where(Case.judged_by_id == actor.user_id)
    else:
        statement = statement.where(Case.state == filters.state)
    if filters.kind:
        statement = statement.where(Case.subject_kind == filters.kind)
    after = decode_cursor(cursor, 2)
    if after is not None:
        score, last = cursor_number(after[0]), cursor_int(after[1])
        below = (Case.score < score) | ((Case.score == score) & (Case.id < last))
        statement = statement.where(
            {"weight": below, "oldest": Case.id > last, "newest": Case.id < last}[filters.sort]
        )
    order = {
        "weight": (Case.score.desc(), Case.id.desc()),
        "oldest": (Case.id,),
        "newest": (Case.id.desc(),),
    }[filters.sort]
    found = list(db.scalars(statement.order_by(*order).limit(PAGE_SIZE + 1)).unique())
    return make_page(found, PAGE_SIZE, lambda row: [row.score, row.id])


@dataclass(frozen=True, slots=True)
class CaseCounts:
    """How many cases are in each list, and how many of those in `state` are of each kind."""

    states: dict[str, int]
    kinds: dict[str, int]


def count_cases(db: Session, actor: Actor, scope: Scope, state: str) -> CaseCounts:
    mine = func.sum(when((Case.judged_by_id == actor.user_id, 1), else_=0))
    statement = (
        select(Case.state, Case.subject_kind, func.count(), mine)
        .where(*cases_in(scope, actor))
        .group_by(Case.state, Case.subject_kind)
    )
    states, kinds = dict.fromkeys(STATES, 0), dict.fromkeys(KINDS, 0)
    for row_state, kind, number, own in db.execute(statement):
        states[row_state] += number
        states["mine"] += int(own or 0)
        kinds[kind] += int(own or 0) if state == "mine" else number if row_state == state else 0
    return CaseCounts(states, kinds)


def count_reasons(db: Session, cases: Sequence[Case]) -> dict[int, list[tuple[str, int]]]:
    """For each case its reasons with the number of reports, most first; one query."""
    statement = (
        select(Flag.case_id, Flag.reason, func.count())
        .where(Flag.case_id.in_([case.id for case in cases]))
        .group_by(Flag.case_id, Flag.reason)
        .order_by(func.count().desc(), Flag.reason)
    )
    found: dict[int, list[tuple[str, int]]] = {}
    for case_id, reason, number in db.execute(statement) if cases else ():
        found.setdefault(case_id, []).append((reason, number))
    return found


def list_flags(db: Session, case: Case) -> Sequence[Flag]:
    statement = select(Flag).where(Flag.case_id == case.id).order_by(Flag.id)
    return db.scalars(statement.limit(200)).unique().all()


def list_around(db: Session, thread: Thread, comment: Comment | None) -> list[Comment]:
    """The comments before and after one, in order; at the start of the thread where none is given."""
    here = comment.id if comment is not None else 0
    of_thread = Comment.thread_id == thread.id
    before = select(Comment.id).where(of_thread, Comment.id <= here).order_by(Comment.id.desc())
    after = select(Comment.id).where(of_thread, Comment.id > here).order_by(Comment.id)
    near = (
        select(before.limit(AROUND + 1).subquery().c.id)
        .union_all(select(after.limit(AROUND).subquery().c.id))
        .subquery()
    )
    return list(
        db.scalars(select(Comment).where(Comment.id.in_(select(near.c.id))).order_by(Comment.id)).unique()
    )


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a person's ways."""

    level: int
    is_moderator: bool
    posts: int
    upheld: int
    rejected: int


def read_record(db: Session, user_id: int) -> Record:
    """In one query; cases are counted by their outcome."""

    def judged(outcome: str) -> object:
        of_owner = select(func.count()).where(Case.owner_id == user_id, Case.outcome == outcome)
        return of_owner.scalar_subquery()

    posts = select(func.count()).where(Comment.author_id == user_id).scalar_subquery()
    statement = (
        select(User.is_admin, Standing.level, Standing.is_moderator, posts, judged(UPHELD), judged(REJECTED))  # type: ignore[call-overload]
        .outerjoin(Standing, Standing.user_id == User.id)
        .where(User.id == user_id)
    )
    is_admin, level, moderates, written, upheld, rejected = db.execute(statement).one()
    keeps = bool(is_admin or moderates)
    return Record(LEADER if keeps else level or 0, keeps, written, upheld, rejected)


def list_measures_near(
    db: Session, kind: str, subject_id: int, owner_id: int | None, limit: int = 20
) -> Sequence[Measure]:
    """What was done to a thing and against the person answerable for it, newest first."""
    near: ColumnElement[bool] = (Measure.subject_kind == kind) & (Measure.subject_id == subject_id)
    if owner_id is not None:
        near = near | (Measure.user_id == owner_id)
    statement = select(Measure).where(near).order_by(Measure.id.desc()).limit(limit)
    return db.scalars(statement).unique().all()


def list_measures(
    db: Session,
    scope: Scope,
    *,
    verb: str = "",
    person: str = "",
    state: str = "",
    cursor: str | None = None,
) -> Page[Measure]:
    """The log, newest first. `person`: against them or by them; `state`: undone, or standing."""
    statement = select(Measure).where(*measures_in(scope))
    if verb:
        statement = statement.where(Measure.verb == verb)
    if person:
        who = select(Namespace.id).where(Namespace.name_key == name_key(person[:100])).scalar_subquery()
        statement = statement.where((Measure.user_id == who) | (Measure.actor_id == who))
    if state:
        is_undone = Measure.undone_at.is_not(None)
        statement = statement.where(is_undone if state == "undone" else ~is_undone)
    after = decode_cursor(cursor, 1)
    if after is not None:
        statement = statement.where(Measure.id < cursor_int(after[0]))
    found = list(db.scalars(statement.order_by(Measure.id.desc()).limit(PAGE_SIZE + 1)).unique())
    return make_page(found, PAGE_SIZE, lambda row: [row.id])


def list_measures_against(db: Session, user_id: int) -> list[tuple[Measure, Appeal | None]]:
    """What was done to somebody's work and account, with their appeals; newest first."""
    statement = (
        select(Measure, Appeal)
        .outerjoin(Appeal, Appeal.measure_id == Measure.id)
        .where(Measure.user_id == user_id)
        .order_by(Measure.id.desc())
        .limit(50)
    )
    return [(measure, appeal) for measure, appeal in db.execute(statement).unique()]


def list_reports_by(db: Session, user_id: int) -> list[tuple[Flag, Case]]:
    """What somebody reported, newest first."""
    statement = (
        select(Flag, Case)
        .join(Case, Case.id == Flag.case_id)
        .where(Flag.reporter_id == user_id)
        .order_by(Flag.id.desc())
        .limit(20)
    )
    return [(flag, case) for flag, case in db.execute(statement).unique()]


def list_appeals(db: Session, *, is_open: bool, cursor: str | None = None) -> Page[Appeal]:
    """Open ones, oldest first; or answered ones, newest first."""
    statement = select(Appeal).where(Appeal.state == OPEN if is_open else Appeal.state != OPEN)
    after = decode_cursor(cursor, 1)
    if after is not None:
        last = cursor_int(after[0])
        statement = statement.where(Appeal.id > last if is_open else Appeal.id < last)
    order = Appeal.id if is_open else Appeal.id.desc()
    found = list(db.scalars(statement.order_by(order).limit(PAGE_SIZE + 1)).unique())
    return make_page(found, PAGE_SIZE, lambda row: [row.id])


def count_open_appeals(db: Session) -> int:
    return db.scalar(select(func.count()).where(Appeal.state == OPEN)) or 0


def list_named(db: Session) -> Sequence[tuple[User, Standing]]:
    """People whose level was set, and moderators."""
    statement = (
        select(User, Standing)
        .join(Standing, Standing.user_id == User.id)
        .where(Standing.is_fixed.is_(True) | Standing.is_moderator.is_(True))
        .order_by(Standing.is_moderator.desc(), Standing.level.desc(), User.id)
        .limit(500)
    )
    return [(user, row) for user, row in db.execute(statement).unique()]


@dataclass(frozen=True, slots=True)
class Label:
    """What a measure was done to: its words, and where it is."""

    title: str
    href: str


def label_subjects(db: Session, measures: Iterable[Measure]) -> dict[tuple[str, int], Label]:
    """Titles and addresses of what measures were done to, one query a kind; what is gone is missing."""
    ids: dict[str, set[int]] = {}
    for measure in measures:
        ids.setdefault(measure.subject_kind, set()).add(measure.subject_id)
    found: dict[tuple[str, int], Label] = {}
    for kind, wanted in ids.items():
        table, statement, label = _LABELS[kind]
        for row in db.scalars(statement.where(table.id.in_(wanted))).unique():
            found[kind, row.id] = label(row)
    return found


_LABELS: dict[str, tuple[Any, Select[Any], Callable[[Any], Label]]] = {
    COMMENT: (
        Comment,
        select(Comment).options(joinedload(Comment.thread).joinedload(Thread.repo)),
        lambda row: Label(row.thread.title, thread_href(row.thread, row)),
    ),
    THREAD: (
        Thread,
        select(Thread).options(joinedload(Thread.repo)),
        lambda row: Label(row.title, thread_href(row)),
    ),
    USER: (User, select(User), lambda row: Label(row.name, f"/{row.name}")),
    REPO: (Repo, select(Repo), lambda row: Label(row.repo_name, repo_href(row))),
    COLLECTION: (
        Collection,
        select(Collection),
        lambda row: Label(row.title, f"/collections/{slug_of(row)}"),
    ),
}


def list_moderator_ids(db: Session) -> frozenset[int]:
    """The people named as moderators; administrators are not among them as such."""
    return frozenset(db.scalars(select(Standing.user_id).where(Standing.is_moderator.is_(True))))
