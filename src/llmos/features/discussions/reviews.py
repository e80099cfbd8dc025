"""Reviews, checks, and what a repository demands before a merge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Forbidden
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Membership, Role
from llmos.features.discussions import events
from llmos.features.discussions.comments import LinePlace, add_comment
from llmos.features.discussions.events import add_event, tell
from llmos.features.discussions.models import (
    MERGED,
    Comment,
    CommitCheck,
    PullRequest,
    RepoThreadRules,
    Review,
    Thread,
)
from llmos.features.discussions.policy import check_can_comment, get_rules
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import check_admin, check_write
from llmos.infra.db.upsert import upsert
from llmos.infra.i18n import lazy

APPROVE, REQUEST_CHANGES, COMMENT = "approve", "request_changes", "comment"
VERDICTS = (APPROVE, REQUEST_CHANGES, COMMENT)
CHECK_STATES = ("pending", "success", "failure")
_WRITERS = (Role.WRITE.value, Role.ADMIN.value)
MAX_APPROVALS = 10
MAX_CHECKS = 20
_CHECK_NAME = re.compile(
    r"[^\s\x00-\x1f\ud800-\udfff](?:[^\x00-\x1f\ud800-\udfff]{0,98}[^\s\x00-\x1f\ud800-\udfff])?\Z"
)
_OID = re.compile(r"[0-9a-f]{40}\Z")


@dataclass(frozen=True, slots=True)
class LineNote:
    place: LinePlace
    text: str
    reply_to: Comment | None = None


def submit_review(
    db: Session,
    actor: Actor,
    thread: Thread,
    verdict: str,
    text: str = "",
    notes: Sequence[LineNote] = (),
) -> Review:
    """Judge the pull request as it is now, with a text and notes on lines; all or nothing.

    Everyone who may comment may review; only those who may write to the repository count
    towards its required approvals. Raises BadRequest for another verdict, a verdict on one's own
    pull request, and a `comment` or `request_changes` that says nothing.
    """
    check_can_comment(db, actor, thread)
    pull = _pull_of(thread)
    if verdict not in VERDICTS:
        raise BadRequest(lazy("verdict must be one of %(list)s.", list=", ".join(VERDICTS)))
    if thread.status == MERGED:
        raise BadRequest(lazy("This pull request was merged already: open a discussion instead."))
    if verdict != COMMENT and thread.author_id == actor.user_id:
        raise BadRequest(lazy("You cannot approve or refuse your own pull request: comment on it instead."))
    if verdict != APPROVE and not text.strip() and not notes:
        raise BadRequest(lazy("Say what should change, in the text or on a line."))
    review = Review(thread_id=thread.id, author_id=actor.user_id, verdict=verdict, oid=pull.head_oid)
    db.add(review)
    db.flush()
    data = {"review_id": review.id, "verdict": verdict, "oid": pull.head_oid}
    add_event(db, actor, thread, events.REVIEW, data)
    if text.strip():
        add_comment(db, actor, thread, text, review_id=review.id)
    for note in notes:
        add_comment(
            db, actor, thread, note.text, place=note.place, reply_to=note.reply_to, review_id=review.id
        )
    tell(db, events.REVIEW_SUBMITTED, actor, thread_id=thread.id, review_id=review.id, verdict=verdict)
    db.flush()
    return review


def _pull_of(thread: Thread) -> PullRequest:
    if thread.pull is None:
        raise BadRequest(lazy("Only a pull request can be reviewed."))
    return thread.pull


def list_reviews(db: Session, thread: Thread) -> Sequence[Review]:
    """Every review of the pull request, oldest first."""
    return db.scalars(select(Review).where(Review.thread_id == thread.id).order_by(Review.id)).unique().all()


@dataclass(frozen=True, slots=True)
class MergeGate:
    """What stands between a pull request and its merge by the repository's settings."""

    required_approvals: int
    approvals: int
    change_requests: int
    missing_checks: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        return (
            self.approvals >= self.required_approvals
            and not self.missing_checks
            and not (self.required_approvals and self.change_requests)
        )


def read_gate(
    db: Session,
    repo: Repo,
    thread: Thread,
    head_oid: str | None,
    checks: Sequence[CommitCheck] | None = None,
) -> MergeGate:
    """Approvals and checks of the commit `head_oid`; those of earlier commits no longer count.

    The latest verdict of each maintainer counts, never that of the pull request's author. `checks`
    are those of the commit, where the caller has read them.
    """
    rules = get_rules(db, repo.id)
    latest: dict[int, tuple[Review, bool]] = {}
    for review, role in db.execute(_reviews_with_roles(repo, thread)).unique():
        is_writer = review.author_id == repo.namespace_id or role in _WRITERS
        if review.author_id is not None and review.verdict != COMMENT and review.dismissed_at is None:
            latest[review.author_id] = (review, is_writer)
    latest.pop(thread.author_id or 0, None)
    counted = [review for review, is_writer in latest.values() if is_writer]
    return MergeGate(
        required_approvals=rules.required_approvals,
        approvals=sum(review.verdict == APPROVE and review.oid == head_oid for review in counted),
        change_requests=sum(review.verdict == REQUEST_CHANGES for review in counted),
        missing_checks=_missing_checks(db, repo, rules, head_oid, checks),
    )


def _reviews_with_roles(repo: Repo, thread: Thread) -> Select[Review, str | None]:
    """Every review, oldest first, with the role its author has in the repository's namespace."""
    is_member = (Membership.user_id == Review.author_id) & (Membership.org_id == repo.namespace_id)
    statement = select(Review, Membership.role).outerjoin(Membership, is_member)
    return statement.where(Review.thread_id == thread.id).order_by(Review.id)


def _missing_checks(
    db: Session,
    repo: Repo,
    rules: RepoThreadRules,
    head_oid: str | None,
    checks: Sequence[CommitCheck] | None,
) -> tuple[str, ...]:
    if not rules.required_checks or head_oid is None:
        return tuple(rules.required_checks)
    known = list_checks(db, repo, head_oid) if checks is None else checks
    passed = {check.name for check in known if check.state == "success"}
    return tuple(name for name in rules.required_checks if name not in passed)


def list_checks(db: Session, repo: Repo, oid: str) -> Sequence[CommitCheck]:
    """What checks say of a commit, by name."""
    statement = select(CommitCheck).where(CommitCheck.repo_id == repo.id, CommitCheck.oid == oid)
    return db.scalars(statement.order_by(CommitCheck.name)).all()


def report_check(
    db: Session,
    actor: Actor,
    repo: Repo,
    oid: str,
    name: str,
    state: str,
    *,
    description: str = "",
    url: str = "",
) -> None:
    """Record what a check says of a commit; the latest word of each name counts. For writers.

    Raises Forbidden, BadRequest for a malformed commit id, name, state, description or address.
    """
    check_write(actor, repo)
    if not _OID.match(oid):
        raise BadRequest(lazy("oid must be a commit id of 40 hex digits."))
    _check_names([name])
    if state not in CHECK_STATES:
        raise BadRequest(lazy("state must be one of %(list)s.", list=", ".join(CHECK_STATES)))
    if url and not (url.startswith(("https://", "http://")) and len(url) <= 1000):
        raise BadRequest(lazy("url must be an http or https address of at most 1000 characters."))
    row = {
        "repo_id": repo.id,
        "oid": oid,
        "name": name,
        "state": state,
        "description": description[:300],
        "url": url,
        "reported_by_id": actor.user_id,
        "updated_at": clock.now(),
    }
    changed = ["state", "description", "url", "reported_by_id", "updated_at"]
    upsert(db, CommitCheck, [row], keys=["repo_id", "oid", "name"], update=changed)


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if not _CHECK_NAME.match(name):
            raise BadRequest(lazy("The name of a check must have 1 to 100 visible characters."))


def set_rules(
    db: Session,
    actor: Actor,
    repo: Repo,
    *,
    are_discussions_disabled: bool | None = None,
    required_approvals: int | None = None,
    required_checks: Sequence[str] | None = None,
) -> RepoThreadRules:
    """Change the settings of the community tab; None leaves one as it is. For admins of the repository."""
    check_admin(actor, repo)
    rules = get_rules(db, repo.id)
    if are_discussions_disabled is not None:
        rules.are_discussions_disabled = are_discussions_disabled
    if required_approvals is not None:
        if not 0 <= required_approvals <= MAX_APPROVALS:
            raise BadRequest(
                lazy("required_approvals must be a number from 0 to %(limit)s.", limit=MAX_APPROVALS)
            )
        rules.required_approvals = required_approvals
    if required_checks is not None:
        names = list(dict.fromkeys(name.strip() for name in required_checks if name.strip()))
        if len(names) > MAX_CHECKS:
            raise BadRequest(lazy("At most %(limit)s checks can be required.", limit=MAX_CHECKS))
        _check_names(names)
        rules.required_checks = names
    db.add(rules)
    db.flush()
    return rules


def check_gate(gate: MergeGate) -> None:
    """Forbidden (403) that names what is missing."""
    if gate.required_approvals and gate.change_requests:
        raise Forbidden(
            lazy("A maintainer asked for changes: settle them before the merge."),
            code="ChangesRequested",
        )
    if gate.approvals < gate.required_approvals:
        raise Forbidden(
            lazy(
                "This repository asks for %(needed)s approvals of the latest commit; there are %(given)s.",
                needed=gate.required_approvals,
                given=gate.approvals,
            ),
            code="ApprovalsMissing",
        )
    if gate.missing_checks:
        raise Forbidden(
            lazy("These checks have not passed yet: %(names)s.", names=", ".join(gate.missing_checks)),
            code="ChecksMissing",
            data={"missing_checks": list(gate.missing_checks)},
        )
