"""Rows of repositories as the values the components of the design system take."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from llmos.features.repos.models import Repo
from llmos.features.repos.pages.labels import KINDS, SDK_LABELS, license_label, short_count, task_label
from llmos.features.repos.pages.routes import repo_href
from llmos.infra.i18n import Locale
from llmos.ui.views import RepoCard

_PROSE = re.compile(
    r"^(?![#>|<`!\[\-*=~]|\d+\.\s|\s*$|\s*\S+:\s*$).+(?:\n(?![#>|<`!\-*=~]|\s*$).+)*", re.MULTILINE
)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}")


def summary_of(text: str, limit: int = 220) -> str:
    """The first paragraph of prose of a card, without its marks."""
    match = _PROSE.search(text)
    if match is None:
        return ""
    plain = _MARKS.sub("", _LINK.sub(r"\1", match.group()))
    plain = " ".join(re.sub(r"<[^>]+>", "", plain).split())
    return plain if len(plain) <= limit else plain[: limit - 1].rstrip() + "…"


def to_card(repo: Repo, locale: Locale, summary: str = "") -> RepoCard:
    return RepoCard(
        name=repo.repo_name,
        href=repo_href(repo),
        kind=KINDS[repo.repo_type],
        updated_at=repo.updated_at,
        description=summary,
        task=_task_of(repo, locale),
        parameters=short_count(repo.total_parameters) if repo.total_parameters else None,
        licence=license_label(repo.license) if repo.license else None,
        downloads=repo.downloads,
        likes=repo.likes,
        is_private=repo.is_private,
        is_gated=bool(repo.gated),
    )


def to_cards(repos: Sequence[Repo], locale: Locale, summaries: Mapping[int, str]) -> list[RepoCard]:
    return [to_card(repo, locale, summaries.get(repo.id, "")) for repo in repos]


def _task_of(repo: Repo, locale: Locale) -> str | None:
    if repo.pipeline_tag:
        return task_label(repo.pipeline_tag, locale)
    if repo.sdk:
        return SDK_LABELS.get(repo.sdk)
    for tag in repo.tags:
        if tag.startswith("task_categories:"):
            return task_label(tag.partition(":")[2], locale)
    return None
