"""The facts beside a card: size, memory, lineage, languages; and its evaluation results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.repos.cards.memory import memory_bytes
from llmos.features.repos.models import DownloadDay, Repo, RepoFacts, RepoLink
from llmos.features.repos.page_selections import existing_names
from llmos.features.repos.pages.labels import language_label, license_label, short_count
from llmos.features.repos.pages.licence_words import licence_words
from llmos.features.repos.pages.routes import file_href, repo_href
from llmos.features.repos.visibility import visible_to
from llmos.infra.i18n import Locale, localize, translator
from llmos.ui.filters import LocaleFilters, filesize, with_query
from llmos.ui.views import Fact

MAX_LINKS = 4
DOWNLOAD_DAYS = 30
# Mixed-precision AdamW: 2 bytes of weights, 2 of gradients, 4 of master weights, 8 of moments.
_TRAINING_BYTES_PER_PARAMETER = 16
_ACTIVATIONS = 1.2
# An adapter trains about one parameter in a hundred; the others stay as they are stored.
_ADAPTER_SHARE = 0.01


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
        words_of_licence = licence_words(repo.license)
        if words_of_licence:
            found.append(
                Fact(
                    "", Markup('<span class="fact-note">{}</span>').format(localize(words_of_licence, locale))
                )
            )
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
            count = sum(parameters.values())
            adapter, full = filesize(adapter_bytes(size_bytes, count)), filesize(training_bytes(count))
            found.append(Fact(_("To train an adapter"), f"≈ {adapter}", "graduation-cap"))
            found.append(Fact(_("To train it all"), f"≈ {full}", "graduation-cap"))
    architecture = _first(facts.config.get("architectures")) or (facts.gguf or {}).get("architecture")
    if architecture:
        found.append(Fact(_("Architecture"), str(architecture)[:60], "layers"))
    quantization = (facts.gguf or {}).get("quantization")
    if quantization:
        found.append(Fact(_("Quantisation"), str(quantization), "binary"))
    return found


def training_bytes(parameter_count: int) -> int:
    """Memory of fine-tuning every weight with AdamW in mixed precision, short texts, in bytes."""
    return int(parameter_count * _TRAINING_BYTES_PER_PARAMETER * _ACTIVATIONS)


def adapter_bytes(inference_bytes: int, parameter_count: int) -> int:
    """Memory of training a low-rank adapter beside frozen weights, in bytes."""
    return inference_bytes + training_bytes(int(parameter_count * _ADAPTER_SHARE))


def daily_downloads(db: Session, repo: Repo, today: date) -> list[tuple[date, int]]:
    """Downloads of the last DOWNLOAD_DAYS days, the present one last; days without any are 0."""
    first = today - timedelta(days=DOWNLOAD_DAYS - 1)
    rows = db.execute(
        select(DownloadDay.day, DownloadDay.count).where(
            DownloadDay.repo_id == repo.id, DownloadDay.day >= first
        )
    )
    counts: dict[date, int] = {row[0]: row[1] for row in rows}
    days = [first + timedelta(days=number) for number in range(DOWNLOAD_DAYS)]
    return [(day, counts.get(day, 0)) for day in days]


def download_chart(db: Session, repo: Repo, locale: Locale) -> dict[str, Any] | None:
    """What the chart of downloads is drawn from; None where nobody downloaded in that time."""
    days = daily_downloads(db, repo, clock.now().date())
    total = sum(count for _day, count in days)
    if not total:
        return None
    words = LocaleFilters(locale)
    return {
        "labels": [words.day(day) for day, _count in days],
        "values": [count for _day, count in days],
        "total": total,
    }


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
