"""`/settings/notifications`: which news goes to mail, and what one watches."""

from __future__ import annotations

from fastapi import Request
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, User
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import PageForm, redirect_page, redirect_to_login, render_page
from llmos.features.discussions.hrefs import repo_href
from llmos.features.notifications.models import NamespaceWatch, RepoWatch
from llmos.features.notifications.reasons import LABELS, MODES, REASONS
from llmos.features.notifications.service import change_wishes, get_wishes
from llmos.features.repos.models import Repo
from llmos.features.repos.visibility import visible_to
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router

router = Router(include_in_schema=False)
ADDRESS = "/settings/notifications"
MAX_LISTED = 200


def _watches(db: Session, actor: Actor) -> list[dict[str, str | int]]:
    spaces = db.execute(
        select(Namespace, NamespaceWatch.level)
        .join(NamespaceWatch, NamespaceWatch.namespace_id == Namespace.id)
        .where(NamespaceWatch.user_id == actor.user_id)
        .order_by(Namespace.name_key)
        .limit(MAX_LISTED)
    )
    repos = db.execute(
        select(Repo, RepoWatch.level)
        .join(RepoWatch, RepoWatch.repo_id == Repo.id)
        .where(RepoWatch.user_id == actor.user_id, visible_to(actor))
        .order_by(Repo.name_key)
        .limit(MAX_LISTED)
    )
    rows: list[tuple[str, int, str, str, str]] = [
        ("namespace", found.id, found.name, f"/{found.name}", level) for found, level in spaces
    ]
    rows += [("repo", repo.id, repo.repo_name, repo_href(repo), level) for repo, level in repos]
    return [
        {"kind": kind, "id": key, "name": name, "href": href, "level": level}
        for kind, key, name, href, level in rows
    ]


@router.get(ADDRESS)
def get_settings_page(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep) -> Response:
    if actor.is_anonymous:
        return redirect_to_login(request)
    user = db.get_one(User, actor.require_user())
    wishes = get_wishes(db, user.id)
    context = {
        "reasons": [
            {"key": key, "label": LABELS[key][0], "hint": LABELS[key][1], "mode": wishes[key]}
            for key in REASONS
        ],
        "modes": MODES,
        "email": user.email,
        "is_confirmed": user.email_verified_at is not None,
        "has_mail": bool(rt.settings.smtp_url),
        "watches": _watches(db, actor),
        "errors": {},
    }
    return render_page(request, actor, "notifications/settings.html", context)


@router.post(ADDRESS)
def post_settings(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Fields `mail_<reason>`; those left out stay as they are."""
    actor.check_account_write()
    changes = {key: form.text(f"mail_{key}") for key in REASONS if form.text(f"mail_{key}")}
    change_wishes(db, actor.require_user(), changes)
    return redirect_page(request, ADDRESS, lazy("Your choice is saved."))
