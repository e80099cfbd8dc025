"""What the places to write in ask before they take a text: blocks, newcomers' limits, spam heuristics."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.features.accounts.actor import Actor
from llmos.features.discussions import policy
from llmos.features.discussions.models import Comment, Thread
from llmos.features.discussions.policy import Place
from llmos.features.moderation.models import RepoBlock
from llmos.features.moderation.standing import LEADER, level_of
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import role_in
from llmos.infra.i18n import lazy
from llmos.infra.settings import Settings

# Of a newcomer (level 0).
NEWCOMER_LINKS = 2
NEWCOMER_IMAGES = 1
NEWCOMER_MENTIONS = 2
NEWCOMER_THREADS_A_DAY = 3
NEWCOMER_REPLIES_A_DAY = 10
# Of everybody below level 3.
POSTS_A_MINUTE = 6
REPEATS_AN_HOUR = 2
_REPEAT_CHARS = 40

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"https?://([^\s/?#)>\]]+)", re.IGNORECASE)
_IMAGE = re.compile(r"!\[[^\]]*\]\(|<img\b", re.IGNORECASE)
_MENTION = re.compile(r"(?<![\w/.@])@[A-Za-z0-9][\w.-]*")


def register_limits(settings: Settings) -> None:
    """Fill the slots of `discussions`; what looks like spam is screened unless `spam_limits` is off."""
    policy.blocked[:] = [_blocked_by_repo]
    is_on = settings.rate_limits and settings.spam_limits
    policy.screens[:] = [make_screen(settings.hidden_link_hosts)] if is_on else []
    policy.forum_keepers[:] = [lambda db, actor, _thread: keeps_forum(db, actor)]


def keeps_forum(db: Session, actor: Actor) -> bool:
    """Moderators, and leaders (level 4), keep order in the forum."""
    if actor.is_suspended or actor.token_role not in (None, "write"):
        return False
    return level_of(db, actor.user_id) >= LEADER  # that of moderators and administrators, too


def repo_of(place: Place) -> Repo | None:
    if isinstance(place, Repo):
        return place
    return place.repo if isinstance(place, Thread) else None


def _blocked_by_repo(db: Session, actor: Actor, place: Place) -> str | None:
    repo = repo_of(place)
    if repo is None or actor.user_id is None:
        return None
    block = db.get(RepoBlock, (repo.id, actor.user_id))
    if block is None or (block.ends_at is not None and block.ends_at <= clock.now()):
        return None
    return lazy("The maintainers of %(repo)s have blocked you from its discussions.", repo=repo.repo_name)


def make_screen(hidden_hosts: str) -> Callable[[Session, Actor, Place, str, bool], str | None]:
    """The filter for spam; `hidden_hosts` names hosts, with commas, that nobody may link to."""
    hosts = tuple(host.strip().lower() for host in hidden_hosts.split(",") if host.strip())

    def screen(db: Session, actor: Actor, place: Place, text: str, is_new: bool) -> str | None:
        prose = _CODE.sub(" ", text)
        linked = [host.lower().rpartition("@")[2].partition(":")[0] for host in _LINK.findall(prose)]
        for host in linked:
            if any(host == bad or host.endswith("." + bad) for bad in hosts):
                return lazy("Links to %(host)s are not accepted here.", host=host)
        repo = repo_of(place)
        if repo is not None and role_in(actor, repo.namespace) is not None:
            return None
        level = level_of(db, actor.user_id)
        if level == 0 and (reason := _newcomer_reason(prose, len(linked))):
            return reason
        if not is_new or level >= 3:
            return None
        is_thread = not isinstance(place, Thread)
        return _speed_reason(db, actor, text, level, is_thread)

    return screen


def _newcomer_reason(prose: str, links: int) -> str | None:
    if links > NEWCOMER_LINKS:
        return lazy("Newcomers may put at most %(count)s links into a post.", count=NEWCOMER_LINKS)
    if len(_IMAGE.findall(prose)) > NEWCOMER_IMAGES:
        return lazy("Newcomers may put at most %(count)s picture into a post.", count=NEWCOMER_IMAGES)
    if len(_MENTION.findall(prose)) > NEWCOMER_MENTIONS:
        return lazy("Newcomers may mention at most %(count)s people in a post.", count=NEWCOMER_MENTIONS)
    return None


def _speed_reason(db: Session, actor: Actor, text: str, level: int, is_thread: bool) -> str | None:
    now = clock.now()
    mine = Comment.author_id == actor.user_id

    def since(delta: timedelta, *conditions: object) -> int:
        statement = select(func.count()).select_from(Comment).where(mine, Comment.created_at > now - delta)
        return db.scalar(statement.where(*conditions)) or 0  # type: ignore[arg-type]

    if since(timedelta(minutes=1)) >= POSTS_A_MINUTE:
        return lazy("You are writing very fast: wait a minute, your text is kept in the form.")
    same = len(text) >= _REPEAT_CHARS and since(timedelta(hours=1), Comment.text == text.strip("\n"))
    if same and same >= REPEATS_AN_HOUR:
        return lazy("You have posted this very text elsewhere already: link to it instead.")
    if level > 0:
        return None
    day = timedelta(days=1)
    if is_thread:
        opened = select(func.count()).where(Thread.author_id == actor.user_id, Thread.created_at > now - day)
        if (db.scalar(opened) or 0) >= NEWCOMER_THREADS_A_DAY:
            return lazy("Newcomers may open at most %(count)s threads a day.", count=NEWCOMER_THREADS_A_DAY)
    elif since(day) >= NEWCOMER_REPLIES_A_DAY + NEWCOMER_THREADS_A_DAY:
        return lazy("Newcomers may write at most %(count)s replies a day.", count=NEWCOMER_REPLIES_A_DAY)
    return None
