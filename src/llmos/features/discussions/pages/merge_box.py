"""What stands between a pull request and its merge, as its page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor
from llmos.features.discussions.merging import merge_message
from llmos.features.discussions.models import DRAFT, MERGED, OPEN, CommitCheck, Thread
from llmos.features.discussions.pages.spots import repo_of
from llmos.features.discussions.pages.thread_parts import Spot, person_of
from llmos.features.discussions.policy import can_merge
from llmos.features.discussions.pull_state import PullState, pull_commits
from llmos.features.discussions.reviews import MergeGate, list_checks, read_gate
from llmos.infra.runtime import Runtime
from llmos.ui.views import Person


@dataclass(frozen=True, slots=True)
class MergeBox:
    """`summary` and `body` are the words offered for the commit."""

    status: str
    state: PullState
    can_merge: bool
    can_push: bool
    gate: MergeGate | None = None
    checks: Sequence[CommitCheck] = ()
    summary: str = ""
    body: str = ""
    merge_oid: str | None = None
    merged_by: Person | None = None
    merged_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        return self.status in (OPEN, DRAFT)

    @property
    def is_ready(self) -> bool:
        """Nothing but the button is missing."""
        gate_is_open = self.gate is None or self.gate.is_open
        return self.status == OPEN and self.state.is_mergeable and gate_is_open


def read_merge_box(db: Session, rt: Runtime, actor: Actor, spot: Spot, state: PullState) -> MergeBox:
    """One query for the gate, one for checks; none where the pull request is over."""
    thread, repo = spot.thread, repo_of(spot)
    may_merge = can_merge(actor, thread)
    is_author = actor.user_id is not None and thread.author_id == actor.user_id
    can_push = may_merge or is_author
    if thread.status not in (OPEN, DRAFT) or state.head_oid is None:
        return _over(thread, state, may_merge, can_push)
    summary, body = "", ""
    if may_merge and thread.status == OPEN and state.is_mergeable:
        commits = pull_commits(rt, repo, state)
        summary, _, body = merge_message(thread, "squash", commits).partition("\n\n")
    checks = list_checks(db, repo, state.head_oid)
    return MergeBox(
        status=thread.status,
        state=state,
        can_merge=may_merge,
        can_push=can_push,
        gate=read_gate(db, repo, thread, state.head_oid, checks),
        checks=checks,
        summary=summary,
        body=body,
    )


def _over(thread: Thread, state: PullState, may_merge: bool, can_push: bool) -> MergeBox:
    pull = thread.pull
    if pull is None or thread.status != MERGED:
        return MergeBox(thread.status, state, may_merge, can_push)
    return MergeBox(
        thread.status,
        state,
        may_merge,
        can_push,
        merge_oid=pull.merge_oid,
        merged_by=person_of(pull.merged_by) if pull.merged_by_id is not None else None,
        merged_at=pull.merged_at,
    )
