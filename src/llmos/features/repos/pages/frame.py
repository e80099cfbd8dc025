"""What every page below one repository shows: its name, state, tags and tabs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from sqlalchemy import ScalarSelect, exists, null, select
from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor
from llmos.features.repos.models import Repo, RepoLike
from llmos.features.repos.pages.labels import (
    KINDS,
    TYPE_LABELS,
    language_label,
    library_label,
    license_label,
    task_label,
)
from llmos.features.repos.pages.routes import repo_href
from llmos.features.repos.places import git_path
from llmos.features.repos.policy import can_admin, can_write
from llmos.infra.git.repository import default_branch, open_repo
from llmos.infra.i18n import Locale, localize, translator
from llmos.infra.runtime import Runtime
from llmos.ui.filters import with_query
from llmos.ui.views import Tab, Tag

# Slot: how many open threads a repository has, as a part of a query; the feature that holds them fills it.
ThreadCounter = Callable[[Repo], ScalarSelect[int]]
_thread_counters: list[ThreadCounter] = []


@dataclass(frozen=True)
class RepoTab:
    """A tab that a feature above adds; `suffix` follows the repository's address, `label` is `lazy`."""

    name: str
    label: str
    suffix: str
    icon: str


# Slot: tabs of features above; None where one does not fit.
_more_tabs: list[Callable[[Repo], RepoTab | None]] = []
MAX_TAGS = 14
_HIDDEN_TAGS = (
    *("base_model:", "benchmark:", "dataset:", "region:"),
    *("size_categories:", "task_ids:", "model-index"),
)


@dataclass(frozen=True)
class Frame:
    """`main` is the default branch; `feed_href` is None where visitors may not read."""

    id: int
    repo_type: str
    name: str
    owner: str
    base: str
    href: str
    feed_href: str | None
    kind: str
    type_label: str
    list_href: str
    is_private: bool
    is_gated: bool
    is_disabled: bool
    likes: int
    has_liked: bool
    is_signed_in: bool
    can_write: bool
    can_admin: bool
    main: str
    tags: list[Tag]
    tabs: list[Tab]


def set_thread_counter(counter: ThreadCounter) -> None:
    """Slot: from then on each repository has a Community tab with the number of open threads."""
    _thread_counters[:] = [counter]


def add_repo_tab(offer: Callable[[Repo], RepoTab | None]) -> None:
    """Slot: from then on repositories show the tab that `offer` makes of them."""
    if offer not in _more_tabs:
        _more_tabs.append(offer)


def repo_frame(
    db: Session, rt: Runtime, actor: Actor, repo: Repo, locale: Locale, current: str = ""
) -> Frame:
    """The frame of a page; `current` is card, files, community, history, curves, settings, storage
    or the name of a tab of a feature above."""
    may_admin = can_admin(actor, repo)
    has_liked, open_threads = _looked_up(db, actor, repo)
    main = default_branch(open_repo(git_path(rt, repo)))
    return Frame(
        id=repo.id,
        repo_type=repo.repo_type.value,
        name=repo.repo_name,
        owner=repo.namespace.name,
        base=repo.name,
        href=repo_href(repo),
        feed_href=_feed_href(repo),
        kind=KINDS[repo.repo_type],
        type_label=localize(TYPE_LABELS[repo.repo_type], locale),
        list_href=f"/{repo.repo_type.plural}",
        is_private=repo.is_private,
        is_gated=bool(repo.gated),
        is_disabled=repo.disabled,
        likes=repo.likes,
        has_liked=has_liked,
        is_signed_in=actor.user_id is not None,
        can_write=can_write(actor, repo),
        can_admin=may_admin,
        main=main,
        tags=repo_tags(repo, locale),
        tabs=_tabs(repo, main, locale, current, may_admin, can_write(actor, repo), open_threads),
    )


def _feed_href(repo: Repo) -> str | None:
    if repo.is_private or repo.disabled:
        return None
    return f"/-/feeds/{repo.repo_type.value}/{quote(repo.repo_name)}/news.atom"


def _looked_up(db: Session, actor: Actor, repo: Repo) -> tuple[bool, int | None]:
    """Whether the actor likes it, and how many threads are open, with one query."""
    mine = exists().where(RepoLike.repo_id == repo.id, RepoLike.user_id == (actor.user_id or 0))
    counter = _thread_counters[0](repo) if _thread_counters else null()
    row = db.execute(select(mine, counter)).one()
    return bool(row[0]), row[1]


def _tabs(
    repo: Repo,
    main: str,
    locale: Locale,
    current: str,
    may_admin: bool,
    may_write: bool,
    open_threads: int | None,
) -> list[Tab]:
    _ = translator(locale).gettext
    href = repo_href(repo)
    rev = main.replace("/", "%2F")
    tabs = [
        Tab(_("Card"), href, "book-open", is_current=current == "card"),
        Tab(_("Files"), f"{href}/tree/{rev}", "folder", is_current=current == "files"),
        Tab(_("History"), f"{href}/commits/{rev}", "history", is_current=current == "history"),
    ]
    if "tensorboard" in repo.tags:
        is_here = current == "curves"
        tabs.append(Tab(_("Training curves"), f"{href}/curves/{rev}", "chart-line", is_current=is_here))
    for offer in _more_tabs:
        more = offer(repo)
        if more is not None:
            label = localize(more.label, locale)
            tabs.append(Tab(label, href + more.suffix, more.icon, is_current=current == more.name))
    if open_threads is not None:
        is_here = current == "community"
        tabs.insert(
            2, Tab(_("Community"), f"{href}/discussions", "message-square", open_threads or None, is_here)
        )
    if may_admin:
        is_here = current in ("settings", "storage")
        tabs.append(Tab(_("Settings"), f"{href}/settings", "settings", is_current=is_here))
    elif may_write:
        is_here = current == "storage"
        tabs.append(Tab(_("Storage"), f"{href}/settings/storage", "hard-drive", is_current=is_here))
    return tabs


def repo_tags(repo: Repo, locale: Locale) -> list[Tag]:
    """What one can filter by: task, library, languages, licence first, then the author's own tags."""
    target = f"/{repo.repo_type.plural}"
    first: list[Tag] = []
    seen: set[str] = set()
    if repo.pipeline_tag:
        seen.add(repo.pipeline_tag)
        href = with_query(target, {"task": repo.pipeline_tag})
        first.append(Tag(task_label(repo.pipeline_tag, locale), href, "layers"))
    if repo.library_name:
        seen.add(repo.library_name)
        first.append(
            Tag(
                library_label(repo.library_name),
                with_query(target, {"library": repo.library_name}),
                "package",
            )
        )
    rest = [
        _tag(tag, target, locale) for tag in repo.tags if tag not in seen and not tag.startswith(_HIDDEN_TAGS)
    ]
    if repo.license:
        first.append(Tag(license_label(repo.license), with_query(target, {"license": repo.license}), "scale"))
    shown = {tag.label for tag in first}
    return (first + [tag for tag in rest if tag is not None and tag.label not in shown])[:MAX_TAGS]


def _tag(tag: str, target: str, locale: Locale) -> Tag | None:
    head, colon, value = tag.partition(":")
    if not colon:
        name = language_label(tag, locale) if len(tag) <= 3 else None
        key = {"language": tag} if name else {"tag": tag}
        return Tag(name or tag, with_query(target, key), "languages" if name else "tag")
    if head == "license":
        return None
    if head == "language":
        return Tag(
            language_label(value, locale) or value, with_query(target, {"language": value}), "languages"
        )
    if head == "task_categories":
        return Tag(task_label(value, locale), with_query(target, {"task": value}), "layers")
    if head == "arxiv":
        return Tag(f"arXiv {value}", f"https://arxiv.org/abs/{value}", "file-text")
    icon = {"format": "file", "modality": "image", "library": "package"}.get(head, "tag")
    return Tag(value, with_query(target, {"tag": tag}), icon)
