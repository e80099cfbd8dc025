"""The front page of a repository: its card, its facts, how to use it; liking it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from llmos.core.errors import Forbidden
from llmos.features.accounts.actor import Actor
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    render_page,
    request_locale,
)
from llmos.features.repos.cards.facts import card_facts
from llmos.features.repos.gating import ask_access, form_fields, get_request
from llmos.features.repos.likes import has_liked, like_repo, unlike_repo
from llmos.features.repos.models import Repo, RepoFacts
from llmos.features.repos.pages.facts_box import download_chart, evaluation_rows, facts_box
from llmos.features.repos.pages.frame import repo_frame
from llmos.features.repos.pages.lineage import repo_lineage
from llmos.features.repos.pages.rendering import render_card
from llmos.features.repos.pages.routes import RepoRoutes, file_href, page_repo, repo_href
from llmos.features.repos.pages.snippets import first_steps, usage_snippets
from llmos.features.repos.pages.views import summary_of
from llmos.features.repos.policy import check_content
from llmos.infra.i18n import Locale, lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.urls import base_url
from llmos.ui.markdown import render_markdown

routes = RepoRoutes()


@dataclass(frozen=True)
class CardAction:
    """Something to do with a repository, offered beside its card."""

    label: str
    href: str
    icon: str


# Slot: what features above offer beside a card; None where it does not fit.
_card_actions: list[Callable[[Repo, RepoFacts], CardAction | None]] = []


def add_card_action(offer: Callable[[Repo, RepoFacts], CardAction | None]) -> None:
    """Slot: from then on cards show what `offer` makes of a repository."""
    if offer not in _card_actions:
        _card_actions.append(offer)


@dataclass(frozen=True)
class CardPanel:
    """A box at the top of what stands beside a card: a template with what it shows, and its script."""

    template: str
    values: dict[str, Any]
    script: str = ""


PanelOffer = Callable[[Session, Runtime, Actor, Repo, Locale], CardPanel | None]
# Slot: boxes of features above; None where one does not fit.
_card_panels: list[PanelOffer] = []


def add_card_panel(offer: PanelOffer) -> None:
    """Slot: from then on cards have the box that `offer` makes of a repository."""
    if offer not in _card_panels:
        _card_panels.append(offer)


@routes.get("")
def card_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    repo = page_repo(request, db, actor)
    locale = request_locale(request, actor)
    facts = db.get(RepoFacts, repo.id) or RepoFacts(
        repo_id=repo.id, card={}, card_text="", siblings=[], extra={}
    )
    frame = repo_frame(db, rt, actor, repo, locale, "card")
    address = base_url(request, rt.settings)
    context: dict[str, Any] = {
        "frame": frame,
        "card": _render_card(repo, facts, frame.main),
        "summary": summary_of(facts.card_text, 160),
        "facts": facts_box(db, actor, repo, facts, locale, frame.main),
        "downloads": download_chart(db, repo, locale),
        "lineage": repo_lineage(db, actor, repo, locale),
        "evaluations": evaluation_rows(facts, locale),
        "actions": [action for offer in _card_actions if (action := offer(repo, facts)) is not None],
        "panels": [panel for offer in _card_panels if (panel := offer(db, rt, actor, repo, locale))],
        "snippets": usage_snippets(repo, facts, address) if len(facts.siblings) > 1 else [],
        "first_steps": first_steps(repo, address, actor.name),
        "gate": gate_of(db, actor, repo),
        "edit_href": file_href(repo, "edit", frame.main, "README.md"),
    }
    return render_page(request, actor, "repos/card.html", context)


def _render_card(repo: Repo, facts: RepoFacts, main: str) -> Any:
    if not facts.card_text.strip():
        return None
    return render_card(
        facts.card_text, file_href(repo, "blob", main) + "/", file_href(repo, "resolve", main) + "/"
    )


def gate_of(db: Session, actor: Actor, repo: Repo) -> dict[str, Any] | None:
    """The access form of a gated repository; None for who may read its content."""
    if not repo.gated:
        return None
    try:
        check_content(db, actor, repo)
    except Forbidden:
        facts = db.get(RepoFacts, repo.id)
        known = get_request(db, repo, actor.user_id)
        form = card_facts(facts.card if facts else {}, repo.type).gated_form
        return {
            "mode": repo.gated,
            "status": known.status if known else "",
            "reason": known.rejection_reason if known else None,
            "form": form,
            "prompt": render_markdown(form.prompt).html if form.prompt else "",
            "fields": [_gate_field(*item) for item in form_fields(db, repo).items()],
            "action": f"{repo_href(repo)}/access",
        }
    return None


def _gate_field(name: str, kind: Any) -> dict[str, Any]:
    kind_name = kind.get("type", "text") if isinstance(kind, dict) else str(kind)
    options = [
        str(option.get("value", option.get("label", ""))) if isinstance(option, dict) else str(option)
        for option in (kind.get("options") or [] if isinstance(kind, dict) else [])
    ]
    return {"name": name, "kind": kind_name, "options": options}


def _sign_in_first(request: Request, repo: Repo) -> Response:
    """Afterwards they come back to the page, as the address of the form itself shows nothing."""
    return redirect_page(request, f"/login?next={quote(repo_href(repo), safe='/')}")


@routes.post("/access")
def post_access(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Ask for the content of a gated repository."""
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return _sign_in_first(request, repo)
    answers = {name: form.text(f"field:{name}") for name in form_fields(db, repo)}
    asked = ask_access(db, actor, repo, answers)
    if asked.status == "accepted":
        message = lazy("You now have access to %(name)s.", name=repo.repo_name)
    else:
        message = lazy("Your request was sent to the authors of %(name)s.", name=repo.repo_name)
    return redirect_page(request, repo_href(repo), message)


@routes.post("/like")
def post_like(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Like, or take the like back."""
    repo = page_repo(request, db, actor)
    if actor.user_id is None:
        return _sign_in_first(request, repo)
    if has_liked(db, actor, repo):
        unlike_repo(db, actor, repo)
    else:
        like_repo(db, actor, repo)
    return redirect_page(request, repo_href(repo))
