"""Atom feeds: what the site, a person or a repository shows everybody. Nothing private is in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from llmos.core import clock
from llmos.features.accounts.actor import ANONYMOUS
from llmos.features.accounts.models import Namespace
from llmos.features.discussions.hrefs import repo_href, thread_href
from llmos.features.discussions.models import TOPIC, Comment, Thread
from llmos.features.repos.files import list_history
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.repos.visibility import visible_to
from llmos.infra.git.commits import CommitInfo
from llmos.infra.git.errors import RepositoryMissing
from llmos.infra.git.repository import default_branch
from llmos.infra.git.revisions import BRANCH_PREFIX, read_ref
from llmos.infra.runtime import Runtime

SIZE: Final = 30
MAX_SUMMARY_CHARS = 1000
# Characters XML 1.0 has no way to write.
_UNWRITABLE = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 65534, 65535))


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a feed. `key` makes its id, which never changes; `href` is a path of ours."""

    key: str
    title: str
    href: str
    author: str
    at: datetime
    summary: str = ""


def list_repo_entries(db: Session, rt: Runtime, repo: Repo) -> list[Entry]:
    """The last commits of the default branch and the last threads of a public repository."""
    entries = _threads(db, Thread.repo_id == repo.id)
    entries += [
        Entry(
            f"commit:{repo.object_id}:{commit.oid}",
            commit.title,
            f"{repo_href(repo)}/commit/{commit.oid}",
            commit.author_name or "-",
            commit.committed_at,
            commit.body,
        )
        for commit in _commits(rt, repo)
    ]
    return _newest(entries)


def _commits(rt: Runtime, repo: Repo) -> list[CommitInfo]:
    if repo.gated:
        return []  # the history is content, which nobody has asked for here
    try:
        git_repo = open_git(rt, repo)
        branch = default_branch(git_repo)
        if read_ref(git_repo, BRANCH_PREFIX + branch) is None:
            return []
        return list_history(rt, repo, branch, limit=SIZE).items
    except RepositoryMissing:
        return []


def list_person_entries(db: Session, namespace: Namespace) -> list[Entry]:
    """Public repositories of a person or organisation, and the threads the person opened."""
    entries = _repos(db, Repo.namespace_id == namespace.id)
    if namespace.kind == "user":
        entries += _threads(db, Thread.author_id == namespace.id)
    return _newest(entries)


def list_site_entries(db: Session) -> list[Entry]:
    """New public repositories and new topics of the forum."""
    return _newest(_repos(db) + _threads(db, Thread.kind == TOPIC))


def list_forum_entries(db: Session, category_id: int | None = None) -> list[Entry]:
    """New topics of the forum, or of one category of it."""
    conditions = [Thread.kind == TOPIC]
    if category_id is not None:
        conditions.append(Thread.category_id == category_id)
    return _newest(_threads(db, *conditions))


def list_topic_entries(db: Session, thread: Thread) -> list[Entry]:
    """The newest posts of one topic."""
    statement = (
        select(Comment)
        .where(Comment.thread_id == thread.id, Comment.hidden_at.is_(None))
        .options(joinedload(Comment.author))
        .order_by(Comment.id.desc())
        .limit(SIZE)
    )
    return [
        Entry(
            f"comment:{comment.public_id}",
            thread.title,
            thread_href(thread, comment),
            comment.author.name if comment.author else "-",
            comment.created_at,
            comment.text,
        )
        for comment in db.scalars(statement).unique()
    ]


def _newest(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry.at, entry.key), reverse=True)[:SIZE]


def _repos(db: Session, *conditions: object) -> list[Entry]:
    statement = select(Repo).where(visible_to(ANONYMOUS), *conditions)  # type: ignore[arg-type]
    rows = db.scalars(statement.order_by(Repo.created_at.desc(), Repo.id.desc()).limit(SIZE)).unique()
    return [
        Entry(f"repo:{row.object_id}", row.repo_name, repo_href(row), row.namespace.name, row.created_at)
        for row in rows
    ]


def _threads(db: Session, *conditions: object) -> list[Entry]:
    statement = (
        select(Thread, Comment.text)
        .outerjoin(Comment, (Comment.id == Thread.first_comment_id) & Comment.hidden_at.is_(None))
        .outerjoin(Thread.repo)
        .options(joinedload(Thread.repo))
        .where(Thread.hidden_at.is_(None), *conditions)  # type: ignore[arg-type]
        .where(Thread.repo_id.is_(None) | visible_to(ANONYMOUS))
        .order_by(Thread.id.desc())
        .limit(SIZE)
    )
    return [
        Entry(
            f"thread:{thread.id}:{int(thread.created_at.timestamp())}",
            f"{thread.repo.repo_name}: {thread.title}" if thread.repo else thread.title,
            thread_href(thread),
            thread.author.name if thread.author else "-",
            thread.created_at,
            text or "",
        )
        for thread, text in db.execute(statement).unique()
    ]


def _text(value: str) -> str:
    return escape(value.translate(_UNWRITABLE).encode("utf-8", "replace").decode())


def as_atom(title: str, site: str, page_href: str, feed_href: str, entries: Sequence[Entry]) -> bytes:
    """The feed as Atom 1.0 (RFC 4287); the same entries give the same bytes."""
    domain = site.partition("://")[2].partition(":")[0]
    updated = max((entry.at for entry in entries), default=clock.from_unix(0))
    parts = [
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">',
        f"<title>{_text(title)}</title><id>tag:{_text(domain)},2026:{_text(feed_href)}</id>",
        f"<updated>{clock.to_json(updated)}</updated>",
        f'<link rel="self" type="application/atom+xml" href={quoteattr(site + feed_href)}/>',
        f'<link rel="alternate" type="text/html" href={quoteattr(site + page_href)}/>',
    ]
    for entry in entries:
        at = clock.to_json(entry.at)
        summary = _text(entry.summary[:MAX_SUMMARY_CHARS])
        parts.append(
            f"<entry><title>{_text(entry.title)}</title><id>tag:{_text(domain)},2026:{_text(entry.key)}</id>"
            f'<link rel="alternate" type="text/html" href={quoteattr(site + entry.href)}/>'
            f"<published>{at}</published><updated>{at}</updated>"
            f"<author><name>{_text(entry.author)}</name></author>"
            + (f'<summary type="text">{summary}</summary>' if summary else "")
            + "</entry>"
        )
    return "\n".join([*parts, "</feed>\n"]).encode()
