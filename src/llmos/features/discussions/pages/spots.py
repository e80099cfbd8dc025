"""Which thread of a repository a request names, and the head all its pages share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import Request
from sqlalchemy.orm import Session

from llmos.core.errors import Forbidden
from llmos.features.accounts.actor import Actor
from llmos.features.discussions.models import DRAFT, OPEN, Thread
from llmos.features.discussions.pages.thread_parts import Spot, person_of
from llmos.features.discussions.policy import access_thread, can_moderate
from llmos.features.discussions.pulls import access_pull
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.routes import page_repo, repo_href
from llmos.features.repos.policy import check_content
from llmos.infra.i18n import Locale, translator
from llmos.infra.runtime import Runtime
from llmos.ui.views import Person, Tab

# Slot: what happens when somebody opens a thread, in a request that only reads.
_opened: list[Callable[[Runtime, Session, Actor, Thread], None]] = []


def on_thread_opened(work: Callable[[Runtime, Session, Actor, Thread], None]) -> None:
    """Slot: called whenever a signed-in person opens a thread, for example to mark news as read."""
    if work not in _opened:
        _opened.append(work)


def tell_opened(rt: Runtime, db: Session, actor: Actor, thread: Thread) -> None:
    """Call what `on_thread_opened` was given."""
    if actor.user_id is not None:
        for work in _opened:
            work(rt, db, actor, thread)


def list_href(repo: Repo) -> str:
    return f"{repo_href(repo)}/discussions"


def _spot(db: Session, rt: Runtime, actor: Actor, repo: Repo, thread: Thread) -> Spot:
    def shell(locale: Locale) -> Mapping[str, Any]:
        return {"frame": repo_frame(db, rt, actor, repo, locale, "community")}

    return Spot(thread, f"{list_href(repo)}/{thread.num}", repo_href(repo), "repos/_frame.html", shell)


def repo_spot(request: Request, rt: Runtime, db: Session, actor: Actor) -> Spot:
    """The thread of the address, if the actor may see it."""
    repo = page_repo(request, db, actor)
    return _spot(db, rt, actor, repo, access_thread(db, actor, repo, int(request.path_params["num"])))


def pull_spot(request: Request, rt: Runtime, db: Session, actor: Actor) -> Spot:
    """As `repo_spot`, for a pull request only, and only for who may read the files."""
    repo = page_repo(request, db, actor)
    spot = _spot(db, rt, actor, repo, access_pull(db, actor, repo, int(request.path_params["num"])))
    check_content(db, actor, repo)
    return spot


def repo_of(spot: Spot) -> Repo:
    repo = spot.thread.repo
    assert repo is not None
    return repo


def can_read_files(db: Session, actor: Actor, repo: Repo) -> bool:
    """Whether a gated repository shows its content to the actor."""
    try:
        check_content(db, actor, repo)
    except Forbidden:
        return False
    return True


@dataclass(frozen=True, slots=True)
class ThreadHead:
    """Title, state and powers: what stands above every page of a thread."""

    id: int
    num: int
    title: str
    kind: str
    status: str
    href: str
    list_href: str
    author: Person | None
    at: datetime
    comment_count: int
    is_pinned: bool
    is_locked: bool
    is_hidden: bool
    base_name: str
    is_signed_in: bool
    can_manage: bool
    can_moderate: bool
    report_href: str | None
    tabs: list[Tab]

    @property
    def is_over(self) -> bool:
        return self.status not in (OPEN, DRAFT)


def thread_head(
    db: Session, actor: Actor, spot: Spot, locale: Locale, current: str = "conversation", **counts: int
) -> ThreadHead:
    """`current` is conversation, commits or files; `counts` of the last two, where they are known."""
    thread = spot.thread
    is_keeper = can_moderate(db, actor, thread)
    is_author = actor.user_id is not None and thread.author_id == actor.user_id
    pull = thread.pull
    return ThreadHead(
        id=thread.id,
        num=thread.num,
        title=thread.title,
        kind=thread.kind,
        status=thread.status,
        href=spot.href,
        list_href=f"{spot.context}/discussions",
        author=person_of(thread.author),
        at=thread.created_at,
        comment_count=thread.comment_count,
        is_pinned=thread.is_pinned,
        is_locked=thread.is_locked,
        is_hidden=thread.hidden_at is not None,
        base_name=pull.base_ref.removeprefix("refs/heads/") if pull is not None else "",
        is_signed_in=actor.user_id is not None,
        can_manage=is_keeper or (is_author and not thread.is_locked),
        can_moderate=is_keeper,
        report_href=None if is_author else f"/-/report?kind=thread&key={thread.id}",
        tabs=_tabs(spot, locale, current, counts) if thread.is_pull_request else [],
    )


def _tabs(spot: Spot, locale: Locale, current: str, counts: Mapping[str, int]) -> list[Tab]:
    _ = translator(locale).gettext
    href, talk = spot.href, spot.thread.comment_count
    return [
        Tab(_("Conversation"), href, "message-square", talk, current == "conversation"),
        Tab(
            _("Commits"),
            f"{href}/commits",
            "git-commit-horizontal",
            counts.get("commits"),
            current == "commits",
        ),
        Tab(_("Files changed"), f"{href}/files", "file-code", counts.get("files"), current == "files"),
    ]
