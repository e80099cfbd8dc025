"""The facts beside a card: size, memory, lineage, languages; and its evaluation results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.repos.cards.memory import memory_bytes
from llmos.features.repos.models import Repo, RepoFacts, RepoLink
from llmos.features.repos.page_queries import existing_names
from llmos.features.repos.pages.labels import language_label, license_label, short_count
from llmos.features.repos.pages.routes import file_href, repo_href
from llmos.features.repos.visibility import visible_to
from llmos.infra.i18n import Locale, translator
from llmos.ui.filters import LocaleFilters, filesize, with_query
from llmos.ui.views import Fact

MAX_LINKS = 4


def facts_box(
    db: Session, actor: Actor, repo: Repo, facts: RepoFacts, locale: Locale, main: str
) -> list[Fact]:
    """What is known, and nothing else: a fact without a value is left out."""
    _ = translator(locale).gettext
    words = LocaleFilters(locale)
    found = [*_weight_facts(repo, facts, locale)]
    card, extra = facts.card, facts.extra
    if repo.license:
        href = with_query(f"/{repo.repo_type.plural}", {"license": repo.license})
        found.append(Fact(_("Licence"), _link(license_label(repo.license), href), "scale"))
    languages = _texts(card.get("language"))
    if languages:
        names = [language_label(code, locale) or code for code in languages]
        shown = ("、" if locale == "zh" else ", ").join(names[:6]) + ("…" if len(names) > 6 else "")
        found.append(Fact(_("Languages"), shown, "languages"))
    bases = [str(pair[0]) for pair in extra.get("baseModels", [])]
    if bases:
        found.append(Fact(_("Base model"), _repo_links(db, actor, RepoType.MODEL, bases), "git-branch"))
    if extra.get("datasets"):
        found.append(
            Fact(_("Trained on"), _repo_links(db, actor, RepoType.DATASET, extra["datasets"]), "database")
        )
    children = _count_children(db, actor, repo)
    if children:
        key = "base_model:" if repo.repo_type is RepoType.MODEL else "dataset:"
        href = with_query("/models", {"tag": f"{key}{repo.repo_name}"})
        found.append(Fact(_("Models built on it"), _link(words.exact(children), href), "box"))
    found.append(Fact(_("Downloads, 30 days"), words.exact(repo.downloads), "download"))
    if repo.main_size_bytes:
        href = file_href(repo, "tree", main)
        found.append(Fact(_("Size"), _link(filesize(repo.main_size_bytes), href), "hard-drive"))
    if repo.head_oid:
        href = f"{repo_href(repo)}/commit/{repo.head_oid}"
        found.append(Fact(_("Last commit"), _link(repo.head_oid[:7], href), "git-commit-horizontal"))
    found.append(Fact(_("Updated"), words.ago(repo.updated_at), "clock"))
    return found


def _weight_facts(repo: Repo, facts: RepoFacts, locale: Locale) -> list[Fact]:
    _ = translator(locale).gettext
    found: list[Fact] = []
    parameters: dict[str, int] = (facts.safetensors or {}).get("parameters", {})
    if repo.total_parameters:
        found.append(Fact(_("Parameters"), short_count(repo.total_parameters), "cpu"))
    if parameters:
        found.append(
            Fact(
                _("Number format"), ", ".join(sorted(parameters, key=lambda key: -parameters[key])), "binary"
            )
        )
        size_bytes = memory_bytes(parameters)
        if size_bytes:
            found.append(Fact(_("Memory to run it"), f"≈ {filesize(size_bytes)}", "activity"))
    architecture = _first(facts.config.get("architectures")) or (facts.gguf or {}).get("architecture")
    if architecture:
        found.append(Fact(_("Architecture"), str(architecture)[:60], "layers"))
    quantization = (facts.gguf or {}).get("quantization")
    if quantization:
        found.append(Fact(_("Quantisation"), str(quantization), "binary"))
    return found


def evaluation_rows(facts: RepoFacts, locale: Locale) -> list[dict[str, str]]:
    """Results of the card's `model-index`: data set, metric, value."""
    rows: list[dict[str, str]] = []
    for model in facts.extra.get("modelIndex") or []:
        for result in model.get("results", []):
            for metric in result.get("metrics", []):
                value = metric.get("value")
                rows.append(
                    {
                        "dataset": str(result["dataset"].get("name", ""))[:80],
                        "metric": str(metric.get("name") or metric.get("type"))[:60],
                        "value": f"{value:g}" if isinstance(value, (int, float)) else str(value)[:40],
                    }
                )
    return rows[:12]


def _link(text: str, href: str) -> Markup:
    return Markup('<a href="{}">{}</a>').format(href, text)


def _repo_links(db: Session, actor: Actor, repo_type: RepoType, names: Sequence[str]) -> Markup:
    """Names as links where this instance holds them, as plain text where it does not."""
    known = existing_names(db, actor, repo_type, names[:MAX_LINKS])
    parts = [
        _link(name, f"/{repo_type.url_prefix}{name}") if name.lower() in known else Markup("{}").format(name)
        for name in names[:MAX_LINKS]
    ]
    return Markup("<br>").join(parts)


def _count_children(db: Session, actor: Actor, repo: Repo) -> int:
    """Models that name this one as their base, or this data set as their training data."""
    if repo.repo_type not in (RepoType.MODEL, RepoType.DATASET):
        return 0
    statement = (
        select(func.count(func.distinct(RepoLink.repo_id)))
        .join(Repo, Repo.id == RepoLink.repo_id)
        .where(
            RepoLink.target_key == repo.key,
            RepoLink.relation.like("base_model:%")
            if repo.repo_type is RepoType.MODEL
            else RepoLink.relation == "dataset",
            Repo.type == RepoType.MODEL.value,
            visible_to(actor),
        )
    )
    return db.scalar(statement) or 0


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, str) and item][:30]


def _first(value: Any) -> str | None:
    return str(value[0]) if isinstance(value, list) and value else None
