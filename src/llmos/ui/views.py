"""What components are given: small frozen values, filled in by the pages.

Every macro takes these or plain values, never a database row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from markupsafe import Markup

from llmos.ui.markdown import Rendered

Kind = Literal["neutral", "accent", "success", "warning", "danger", "info"]


@dataclass(frozen=True)
class Tab:
    label: str
    href: str
    icon: str | None = None
    count: int | None = None
    is_current: bool = False


@dataclass(frozen=True)
class Crumb:
    """A step of the way; the last one has no `href`."""

    label: str
    href: str | None = None


@dataclass(frozen=True)
class Option:
    """A choice of a select, of radio or checkbox cards."""

    value: str
    label: str
    hint: str = ""
    icon: str | None = None
    is_disabled: bool = False


@dataclass(frozen=True)
class Column:
    """A table head; `sort_href` makes it a link, `sorted` says how it is sorted now."""

    label: str
    align: Literal["start", "end"] = "start"
    sort_href: str | None = None
    sorted: Literal["ascending", "descending"] | None = None


@dataclass(frozen=True)
class Tag:
    label: str
    href: str | None = None
    icon: str | None = None
    kind: Kind = "neutral"


@dataclass(frozen=True)
class RepoCard:
    """One line of a list of repositories. `kind` is model, dataset, space or code."""

    name: str
    href: str
    kind: Literal["model", "dataset", "space", "code"]
    updated_at: datetime
    description: str = ""
    task: str | None = None
    parameters: str | None = None
    licence: str | None = None
    downloads: int = 0
    likes: int = 0
    is_private: bool = False
    is_gated: bool = False
    tags: Sequence[Tag] = ()


@dataclass(frozen=True)
class FacetOption:
    """`href` is the list with this option toggled."""

    label: str
    href: str
    count: int | None = None
    is_selected: bool = False


@dataclass(frozen=True)
class FacetGroup:
    """A filter; `more_href` leads to all options when only some are given."""

    title: str
    options: Sequence[FacetOption]
    icon: str | None = None
    more_href: str | None = None


@dataclass(frozen=True)
class FileRow:
    """One entry of a folder. `size_bytes` is None for folders."""

    name: str
    href: str
    kind: Literal["folder", "file", "lfs", "link"]
    size_bytes: int | None = None
    message: str = ""
    commit_href: str | None = None
    changed_at: datetime | None = None
    download_href: str | None = None


@dataclass(frozen=True)
class DiffLine:
    kind: Literal["same", "added", "removed"]
    old: int | None
    new: int | None
    text: str


@dataclass(frozen=True)
class DiffHunk:
    header: str
    lines: Sequence[DiffLine]


@dataclass(frozen=True)
class DiffFile:
    """A changed file; `note` replaces the hunks (binary, too large, LFS pointer).

    With `comment_href` every line has a "+" that opens a comment form there; `threads` are the
    comments already standing below a line, as HTML, by `new:12` or `old:12`. `extra` is HTML that
    stands above the lines.
    """

    path: str
    status: Literal["added", "modified", "deleted", "renamed"]
    added: int
    removed: int
    hunks: Sequence[DiffHunk] = ()
    old_path: str | None = None
    note: str = ""
    href: str | None = None
    comment_href: str | None = None
    threads: Mapping[str, Markup] = field(default_factory=dict)
    extra: Markup | None = None


@dataclass(frozen=True)
class Fact:
    """A row of a facts box; give `value` as Markup for links."""

    label: str
    value: str | Markup
    icon: str | None = None


@dataclass(frozen=True)
class Person:
    """Somebody as an author of things; None in place of a Person is a deleted account."""

    name: str
    href: str
    fullname: str = ""
    avatar_url: str | None = None


@dataclass(frozen=True)
class Badge:
    """A word beside a name: Author, Maintainer, Answer."""

    label: str
    kind: Kind = "neutral"
    icon: str | None = None


@dataclass(frozen=True)
class Reaction:
    """`people` is the hint: who reacted."""

    emoji: str
    count: int
    is_mine: bool = False
    people: str = ""


@dataclass(frozen=True)
class CommentView:
    """One comment. `id` makes its anchor `comment-<id>`; `body` is None where it may not be read
    (hidden, and the reader is no moderator). `source` is the Markdown, for quoting."""

    id: str
    author: Person | None
    at: datetime
    href: str
    body: Rendered | None
    source: str = ""
    badges: Sequence[Badge] = ()
    edited_at: datetime | None = None
    edits_href: str | None = None
    reactions: Sequence[Reaction] = ()
    react_href: str | None = None
    reply_href: str | None = None
    reply_to: Person | None = None
    reply_to_href: str | None = None
    is_answer: bool = False
    is_hidden: bool = False
    hidden_reason: str = ""


@dataclass(frozen=True)
class PollOption:
    value: str
    label: str
    votes: int = 0
    is_mine: bool = False


@dataclass(frozen=True)
class Poll:
    """`action` takes the votes (field `option`, repeated if `is_multiple`); None when nobody may
    vote (closed, or not signed in). `shows_votes` is false before one has voted, if so wished."""

    question: str
    options: Sequence[PollOption]
    voter_count: int
    action: str | None = None
    is_multiple: bool = False
    is_closed: bool = False
    closes_at: datetime | None = None
    shows_votes: bool = True


@dataclass(frozen=True)
class Series:
    """A line of a chart; `None`: not measured there, the line goes on. `tone` is its colour's number."""

    label: str
    values: Sequence[float | None]
    tone: int | None = None
