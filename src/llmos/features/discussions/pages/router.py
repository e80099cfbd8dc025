"""All pages of discussions, for every type of repository at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ScalarSelect, func, select

from llmos.features.discussions.models import Thread
from llmos.features.discussions.pages import (
    conversation,
    files,
    line_form,
    listing,
    note_parts,
    opening,
    resolving,
    rules,
    thread_actions,
)
from llmos.features.discussions.pages.comment_pages import add_comment_pages
from llmos.features.discussions.pages.spots import repo_spot
from llmos.features.discussions.queries import STATUSES
from llmos.features.repos.models import Repo
from llmos.features.repos.pages.frame import set_thread_counter
from llmos.features.repos.pages.router import add_repo_routes
from llmos.features.repos.pages.routes import RepoRoutes

_MODULES = (
    listing, opening, conversation, thread_actions, files, line_form, note_parts, resolving, rules,
)  # fmt: skip
_comments = RepoRoutes()


def _add(method: str, suffix: str, endpoint: Callable[..., Any]) -> None:
    register = _comments.get if method == "GET" else _comments.post
    register(f"/discussions/{{num:int}}{suffix}")(endpoint)


add_comment_pages(_add, repo_spot)


def _count_open(repo: Repo) -> ScalarSelect[int]:
    conditions = (Thread.repo_id == repo.id, Thread.hidden_at.is_(None), Thread.status.in_(STATUSES["open"]))
    return select(func.count()).select_from(Thread).where(*conditions).scalar_subquery()


def add_to_repositories() -> None:
    """Fill the slots of the repository pages: the tab, and the pages behind it."""
    set_thread_counter(_count_open)
    for module in _MODULES:
        add_repo_routes(module.routes)
    add_repo_routes(_comments)
