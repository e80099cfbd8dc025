"""Polls: put with a topic, one vote a person, changed at will until they close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict
from llmos.features.accounts.actor import Actor
from llmos.features.discussions.forum_models import Poll, PollOption, PollVote
from llmos.features.discussions.models import Thread
from llmos.features.discussions.policy import can_moderate, check_can_comment
from llmos.features.discussions.texts import check_title
from llmos.infra.i18n import lazy

MIN_OPTIONS = 2
MAX_OPTIONS = 20
MAX_OPTION_CHARS = 200


@dataclass(frozen=True, slots=True)
class PollWish:
    """What the author of a topic asks for; `options` in their order."""

    question: str
    options: Sequence[str]
    is_multiple: bool = False
    hides_votes: bool = False
    closes_at: datetime | None = None


def check_poll(wish: PollWish) -> PollWish:
    """The wish with its texts cleaned. BadRequest: no question, too few, too many or double options,
    an end in the past."""
    if not wish.question.strip():
        raise BadRequest(lazy("A poll needs a question."))
    options = [check_title(option) for option in wish.options if option.strip()]
    if not MIN_OPTIONS <= len(options) <= MAX_OPTIONS:
        raise BadRequest(
            lazy(
                "A poll needs %(least)s to %(most)s answers to choose from.",
                least=MIN_OPTIONS,
                most=MAX_OPTIONS,
            )
        )
    if len({option.casefold() for option in options}) < len(options):
        raise BadRequest(lazy("Two answers of the poll are the same: change one."))
    if any(len(option) > MAX_OPTION_CHARS for option in options):
        raise BadRequest(
            lazy("An answer of the poll has at most %(limit)s characters.", limit=MAX_OPTION_CHARS)
        )
    if wish.closes_at is not None and wish.closes_at <= clock.now():
        raise BadRequest(lazy("A poll must close in the future."))
    return PollWish(check_title(wish.question), options, wish.is_multiple, wish.hides_votes, wish.closes_at)


def add_poll(db: Session, thread: Thread, wish: PollWish) -> Poll:
    """The rows of a poll that has been checked."""
    poll = Poll(
        thread_id=thread.id,
        question=wish.question,
        is_multiple=wish.is_multiple,
        hides_votes=wish.hides_votes,
        closes_at=wish.closes_at,
    )
    poll.options = [PollOption(position=place, label=label) for place, label in enumerate(wish.options)]
    db.add(poll)
    db.flush()
    return poll


def get_poll(db: Session, thread_id: int) -> Poll | None:
    """The poll of a topic with its options, in one query."""
    return db.scalars(select(Poll).where(Poll.thread_id == thread_id)).unique().one_or_none()


def is_closed(poll: Poll, thread: Thread) -> bool:
    return thread.status != "open" or (poll.closes_at is not None and poll.closes_at <= clock.now())


def my_votes(db: Session, actor: Actor, poll: Poll) -> set[int]:
    """The ids of the options the actor chose."""
    if actor.user_id is None:
        return set()
    mine = (PollVote.thread_id == poll.thread_id, PollVote.user_id == actor.user_id)
    return set(db.scalars(select(PollVote.option_id).where(*mine)))


def shows_votes(poll: Poll, thread: Thread, has_voted: bool) -> bool:
    return not poll.hides_votes or has_voted or is_closed(poll, thread)


def vote(db: Session, actor: Actor, thread: Thread, option_ids: Sequence[int]) -> Poll:
    """Set the actor's choice, in place of an earlier one; none at all takes it back.

    Raises as `check_can_comment`; BadRequest for options of another poll or more than one where one
    is allowed; Conflict once the poll is closed.
    """
    check_can_comment(db, actor, thread)
    user_id = actor.require_user()
    poll = _locked_poll(db, thread)
    if is_closed(poll, thread):
        raise Conflict(lazy("This poll is closed."), code="PollClosed")
    chosen = set(option_ids)
    known = {option.id: option for option in poll.options}
    if not chosen <= known.keys():
        raise BadRequest(lazy("Choose one of the answers of this poll."))
    if len(chosen) > 1 and not poll.is_multiple:
        raise BadRequest(lazy("Only one answer can be chosen in this poll."))
    before = my_votes(db, actor, poll)
    mine = (PollVote.thread_id == thread.id, PollVote.user_id == user_id)
    db.execute(delete(PollVote).where(*mine, PollVote.option_id.not_in(chosen)))
    db.add_all(PollVote(option_id=option, user_id=user_id, thread_id=thread.id) for option in chosen - before)
    for option_id, option in known.items():
        option.vote_count += (option_id in chosen) - (option_id in before)
    poll.voter_count += bool(chosen) - bool(before)
    db.flush()
    return poll


def _locked_poll(db: Session, thread: Thread) -> Poll:
    """The poll as it is now; others who vote wait until this transaction ends."""
    statement = select(Poll).where(Poll.thread_id == thread.id)
    statement = statement.with_for_update(of=Poll).execution_options(populate_existing=True)
    poll = db.scalars(statement).unique().one_or_none()
    if poll is None:
        raise BadRequest(lazy("This topic has no poll."))
    return poll


def close_poll(db: Session, actor: Actor, thread: Thread) -> Poll:
    """End a poll now: the topic's author and those who keep order."""
    if actor.require_user() != thread.author_id and not can_moderate(db, actor, thread):
        raise BadRequest(lazy("Only the author of this topic and moderators may close its poll."))
    check_can_comment(db, actor, thread)
    poll = _locked_poll(db, thread)
    if not is_closed(poll, thread):
        poll.closes_at = clock.now()
    db.flush()
    return poll
