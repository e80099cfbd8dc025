"""Hub protocol: threads, comments and events as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from llmos.core.clock import to_json
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import User
from llmos.features.discussions.events import COMMIT, STATUS_CHANGE, TITLE_CHANGE
from llmos.features.discussions.models import Comment, CommentVersion, Thread, ThreadEvent
from llmos.features.repos.models import Repo
from llmos.infra.git.caches import LruCache
from llmos.ui.markdown import render_markdown

HIDDEN_TEXT = "This comment has been hidden"
# A thread of thousands of comments comes in one answer: the later ones are not formatted.
MAX_FORMATTED = 500
_html: LruCache[tuple[int, int], str] = LruCache(2000)
_WIRE_KEYS = {STATUS_CHANGE: ("status",), TITLE_CHANGE: ("from", "to"), COMMIT: ("subject", "oid")}


def author_json(user: User | None, base: str) -> dict[str, Any]:
    """`{"author": …}`; clients want the key left out where nobody is known."""
    if user is None:
        return {}
    picture = base + avatar_url(user.namespace)
    return {"author": {"name": user.name, "fullname": user.fullname, "avatarUrl": picture, "type": "user"}}


def _author_of(comment: Comment, base: str, known: dict[int, dict[str, Any]] | None) -> dict[str, Any]:
    if known is None or comment.author_id is None:
        return author_json(comment.author, base)
    found = known.get(comment.author_id)
    if found is None:
        found = known[comment.author_id] = author_json(comment.author, base)
    return found


def thread_json(thread: Thread, repo: Repo, base: str) -> dict[str, Any]:
    """A thread as it stands in a list."""
    return {
        "num": thread.num,
        "title": thread.title,
        "status": thread.status,
        "isPullRequest": thread.is_pull_request,
        "createdAt": to_json(thread.created_at),
        "pinned": thread.is_pinned,
        "locked": thread.is_locked,
        "numComments": thread.comment_count,
        "repo": {"name": repo.repo_name, "type": repo.type},
        **author_json(thread.author, base),
    }


def _formatted(comment: Comment) -> str:
    key = (comment.id, comment.version)
    html = _html.get(key)
    if html is None:
        html = render_markdown(comment.text, heading_ids=False).html
        _html.put(key, html)
    return html


def comment_json(
    comment: Comment,
    base: str,
    versions: Sequence[CommentVersion] = (),
    *,
    is_formatted: bool = True,
    authors: dict[int, dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The event of a comment; a hidden one without its words.

    `authors` remembers the part about each author, by id, from one comment to the next.
    """
    if comment.is_hidden:
        raw = html = HIDDEN_TEXT
        versions = ()
    else:
        raw = comment.text
        html = _formatted(comment) if is_formatted else f"<p>{escape(raw)}</p>"
    author = _author_of(comment, base, authors)
    created_at = to_json(comment.created_at)
    updated_at = to_json(comment.edited_at) if comment.edited_at else created_at
    latest = {"raw": raw, "html": html, "updatedAt": updated_at}
    history = [
        {"raw": version.text, "html": "", "updatedAt": to_json(version.created_at), **author}
        for version in versions
    ]
    return {
        "id": comment.public_id,
        "type": "comment",
        "createdAt": created_at,
        **author,
        "data": {
            "edited": comment.edit_count > 0,
            "hidden": comment.is_hidden,
            "latest": {**latest, **author},
            "numEdits": comment.edit_count,
            "history": history,
            "version": comment.version,
            **_line_json(comment),
        },
    }


def _line_json(comment: Comment) -> dict[str, Any]:
    if comment.path is None:
        return {}
    place = {"path": comment.path, "side": comment.side, "line": comment.line, "oid": comment.oid}
    return {"place": {**place, "startLine": comment.start_line, "resolved": comment.resolved_at is not None}}


def event_json(event: ThreadEvent, base: str) -> dict[str, Any]:
    keys = _WIRE_KEYS.get(event.kind)
    data = event.data if keys is None else {key: event.data.get(key, "") for key in keys}
    return {
        "id": event.public_id,
        "type": event.kind,
        "createdAt": to_json(event.created_at),
        **author_json(event.actor, base),
        "data": data,
    }


def entries_json(
    entries: Sequence[Comment | ThreadEvent],
    versions: Mapping[int, Sequence[CommentVersion]],
    base: str,
) -> list[dict[str, Any]]:
    """The whole story of a thread, in order."""
    found = []
    authors: dict[int, dict[str, Any]] = {}
    formatted = 0
    for entry in entries:
        if isinstance(entry, ThreadEvent):
            found.append(event_json(entry, base))
            continue
        formatted += 1
        is_formatted = formatted <= MAX_FORMATTED
        earlier = versions.get(entry.id, ())
        found.append(comment_json(entry, base, earlier, is_formatted=is_formatted, authors=authors))
    return found
