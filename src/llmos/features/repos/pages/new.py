"""Creating a repository of each type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, LlmosError
from llmos.core.names import check_repo_name
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.naming import RepoExists, parse_visibility
from llmos.features.repos.pages.labels import KINDS, license_label
from llmos.features.repos.pages.routes import repo_href
from llmos.features.repos.policy import can_create
from llmos.infra.i18n import LazyString, Locale, lazy, localize, translator
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.ui.views import Option, Tab

NEW_HREFS = {
    RepoType.MODEL: "/new",
    RepoType.DATASET: "/new-dataset",
    RepoType.SPACE: "/new-space",
    RepoType.KERNEL: "/new-tool",
}
_TITLES: dict[RepoType, LazyString] = {
    RepoType.MODEL: lazy("New model"),
    RepoType.DATASET: lazy("New data set"),
    RepoType.SPACE: lazy("New space"),
    RepoType.KERNEL: lazy("New tool"),
}
_SHORT: dict[RepoType, LazyString] = {
    RepoType.MODEL: lazy("Model"),
    RepoType.DATASET: lazy("Data set"),
    RepoType.SPACE: lazy("Space"),
    RepoType.KERNEL: lazy("Tool"),
}
_COMMON_LICENSES = (
    "apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc0-1.0",
    "gpl-3.0", "odc-by", "openrail", "gemma", "llama3.1", "other",
)  # fmt: skip


def list_owners(db: Session, actor: Actor) -> list[Namespace]:
    """Where the actor may create: themselves first, then organisations by name."""
    statement = select(Namespace).where(Namespace.id.in_([actor.user_id, *actor.roles]))
    owners = [row for row in db.scalars(statement).unique() if can_create(actor, row)]
    return sorted(owners, key=lambda row: (row.id != actor.user_id, row.name_key))


def make_new_page(repo_type: RepoType) -> Callable[..., Response]:
    def new_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
        if actor.user_id is None:
            return redirect_to_login(request)
        values = {"owner": request.query_params.get("owner", actor.name), "visibility": "public"}
        return _render(request, db, actor, repo_type, values)

    return new_page


def make_post_new(repo_type: RepoType) -> Callable[..., Response]:
    def post_new(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
        if actor.user_id is None:
            return redirect_to_login(request)
        values = {key: form.text(key) for key in ("owner", "name", "license", "visibility", "sdk")}
        try:
            repo = create_repo(
                db,
                actor,
                rt,
                name=values["name"],
                repo_type=repo_type,
                organization=values["owner"] or None,
                visibility=parse_visibility(values["visibility"] or None, None, repo_type),
                sdk=values["sdk"] or None,
                license_id=values["license"] or None,
            )
        except LlmosError as refusal:
            return _refused(request, rt, db, actor, repo_type, values, refusal)
        return redirect_page(request, repo_href(repo), lazy("%(name)s created.", name=repo.repo_name))

    return post_new


def _refused(
    request: Request,
    rt: Runtime,
    db: Session,
    actor: Actor,
    repo_type: RepoType,
    values: dict[str, str],
    refusal: LlmosError,
) -> Response:
    db.rollback()
    field = "owner" if refusal.status == 403 else "name"
    message = refusal.message
    if isinstance(refusal, RepoExists):
        message = lazy("There is a repository of this name already: choose another one.")
    elif field == "name" and not _is_name(values["name"]):
        message = lazy("Use letters, digits, -, _ and . only, and begin and end with a letter or digit.")
    with rt.database.reading() as look:
        return _render(request, look, actor, repo_type, values, {field: message}, refusal.status)


def _is_name(name: str) -> bool:
    try:
        check_repo_name(name)
    except BadRequest:
        return False
    return True


def _render(
    request: Request,
    db: Session,
    actor: Actor,
    repo_type: RepoType,
    values: dict[str, str],
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    locale = request_locale(request, actor)
    owners = list_owners(db, actor)
    context: dict[str, Any] = {
        "title": localize(_TITLES[repo_type], locale),
        "kind": KINDS[repo_type],
        "action": NEW_HREFS[repo_type],
        "tabs": _type_tabs(repo_type, locale),
        "owners": [Option(owner.name, owner.name) for owner in owners],
        "licenses": license_options(locale),
        "visibilities": visibility_options(repo_type, locale),
        "sdks": _sdk_options(locale) if repo_type is RepoType.SPACE else [],
        "values": {"owner": "", "name": "", "license": "", "visibility": "public", "sdk": "static", **values},
        "errors": errors or {},
    }
    return render_page(request, actor, "repos/new.html", context, status=status)


def _type_tabs(current: RepoType, locale: Locale) -> list[Tab]:
    icons = {"model": "box", "dataset": "database", "space": "app-window", "code": "wrench"}
    return [
        Tab(localize(label, locale), NEW_HREFS[kind], icons[KINDS[kind]], is_current=kind is current)
        for kind, label in _SHORT.items()
    ]


def license_options(locale: Locale) -> list[Option]:
    _ = translator(locale).gettext
    return [Option("", _("Decide later")), *[Option(key, license_label(key)) for key in _COMMON_LICENSES]]


def visibility_options(repo_type: RepoType, locale: Locale) -> list[Option]:
    _ = translator(locale).gettext
    options = [
        Option("public", _("Public"), _("Everyone can see and download it."), "globe"),
        Option("private", _("Private"), _("Only you, or members of the organisation."), "lock"),
    ]
    if repo_type is RepoType.SPACE:
        options.append(
            Option("protected", _("Protected"), _("Everyone can use it, its files are yours."), "shield")
        )
    return options


def _sdk_options(locale: Locale) -> list[Option]:
    _ = translator(locale).gettext
    return [
        Option("static", "HTML", _("Pages and scripts, served as they are."), "globe"),
        Option("gradio", "Gradio", _("A Python interface for a model."), "app-window"),
        Option("streamlit", "Streamlit", _("A Python data application."), "activity"),
        Option("docker", "Docker", _("Anything that runs in a container."), "package"),
    ]
