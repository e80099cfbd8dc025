"""What components are given: small frozen values, filled in by the pages.

Every macro takes these or plain values, never a database row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from markupsafe import Markup

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
    """A changed file; `note` replaces the hunks (binary, too large, LFS pointer)."""

    path: str
    status: Literal["added", "modified", "deleted", "renamed"]
    added: int
    removed: int
    hunks: Sequence[DiffHunk] = ()
    old_path: str | None = None
    note: str = ""
    href: str | None = None


@dataclass(frozen=True)
class Fact:
    """A row of a facts box; give `value` as Markup for links."""

    label: str
    value: str | Markup
    icon: str | None = None
