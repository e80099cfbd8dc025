"""Collections in a browser: lists, one collection, and a dialog that puts a thing into several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, LlmosError
from llmos.core.pagination import Page
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.queries import card_of, list_memberships
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
    safe_next,
)
from llmos.features.collections.items import (
    access_item,
    add_item,
    delete_item,
    move_item_by,
    target_of,
    update_item,
)
from llmos.features.collections.models import Collection, CollectionItem
from llmos.features.collections.policy import access_collection
from llmos.features.collections.queries import (
    PREVIEW_ITEMS,
    Entry,
    collections_with,
    count_entries,
    list_changeable,
    list_collections,
    list_entries,
)
from llmos.features.collections.service import (
    THEMES,
    create_collection,
    delete_collection,
    has_voted,
    set_vote,
    slug_of,
    update_collection,
)
from llmos.features.repos.page_selections import card_beginnings
from llmos.features.repos.pages.routes import add_page
from llmos.features.repos.pages.views import summary_of, to_card
from llmos.features.repos.policy import can_write
from llmos.infra.i18n import Locale, lazy
from llmos.infra.web.deps import ReadDb, WriteDb
from llmos.infra.web.forms import Form
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.ui.filters import with_query
from llmos.ui.render import register_templates
from llmos.ui.views import Option

PAGE_SIZE = 24
_KIND_ICONS = {
    "model": "box", "dataset": "database", "space": "app-window", "kernel": "wrench",
    "paper": "file-text", "collection": "layers", "bucket": "hard-drive",
}  # fmt: skip

register_templates(Path(__file__).parent / "templates")


def collection_href(collection: Collection) -> str:
    return f"/collections/{slug_of(collection)}"


def collection_cards(db: Session, actor: Actor, collections: Sequence[Collection]) -> list[dict[str, Any]]:
    """What the macro `collection_list` shows of each; two queries for all."""
    ids = [collection.id for collection in collections]
    entries = list_entries(db, actor, ids, each=PREVIEW_ITEMS) if ids else {}
    counts = count_entries(db, ids) if ids else {}
    return [
        {
            "title": item.title,
            "href": collection_href(item),
            "owner": item.namespace.name,
            "description": item.description,
            "is_private": item.is_private,
            "theme": item.theme,
            "upvotes": item.upvotes,
            "updated_at": item.updated_at,
            "count": counts.get(item.id, 0),
            "entries": [
                {"name": _entry_name(entry), "icon": _KIND_ICONS[entry.item.kind]}
                for entry in entries[item.id]
            ],
        }
        for item in collections
    ]


def _entry_name(entry: Entry) -> str:
    return entry.linked.title if entry.linked is not None else entry.name


def list_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    params = request.query_params
    owner, search = params.get("owner", "")[:96], params.get("q", "").replace("\0", "")[:100]
    sort = params.get("sort") or "lastModified"
    page: Page[Collection] = list_collections(
        db,
        actor,
        owners=[owner] if owner else [],
        search=search.strip(),
        sort=sort,
        limit=PAGE_SIZE,
        cursor=params.get("cursor"),
    )
    shared = {"owner": owner, "q": search, "sort": sort}
    context = {
        "cards": collection_cards(db, actor, page.items),
        "owner": owner,
        "query": search,
        "sort": sort,
        "clear_href": with_query("/collections", {"q": search, "sort": sort}) if owner else None,
        "next_href": with_query("/collections", shared | {"cursor": page.next_cursor})
        if page.next_cursor
        else None,
    }
    return render_page(request, actor, "collections/list.html", context)


def owner_page(ns: str) -> Response:
    return RedirectResponse(with_query("/collections", {"owner": ns}), 307)


def collection_page(request: Request, db: ReadDb, actor: ActorDep, ns: str, slug: str) -> Response:
    collection = access_collection(db, actor, ns, slug)
    if f"{ns}/{slug}" != slug_of(collection):
        return RedirectResponse(collection_href(collection), 307)
    locale = request_locale(request, actor)
    entries = list_entries(db, actor, [collection.id])[collection.id]
    context = {
        "collection": collection,
        "owner": card_of(collection.namespace),
        "href": collection_href(collection),
        "slug": slug_of(collection),
        "may_change": can_write(actor, collection),
        "has_voted": has_voted(db, actor, collection),
        "entries": _rows(db, entries, locale),
        "themes": THEMES,
    }
    return render_page(request, actor, "collections/detail.html", context)


def _rows(db: Session, entries: Sequence[Entry], locale: Locale) -> list[dict[str, Any]]:
    ids = [entry.repo.id for entry in entries if entry.repo is not None]
    beginnings = card_beginnings(db, ids) if ids else {}
    rows = []
    for entry in entries:
        card = None
        if entry.repo is not None:
            card = to_card(entry.repo, locale, summary_of(beginnings.get(entry.repo.id, "")))
        rows.append(
            {
                "id": entry.item.object_id,
                "note": entry.item.note,
                "card": card,
                "icon": _KIND_ICONS[entry.item.kind],
                "kind": entry.item.kind,
                "name": _entry_name(entry),
                "href": _entry_href(entry),
            }
        )
    return rows


def _entry_href(entry: Entry) -> str | None:
    if entry.linked is not None:
        return collection_href(entry.linked)
    if entry.bucket is not None:
        return f"/buckets/{entry.bucket.bucket_name}"
    return f"https://arxiv.org/abs/{entry.item.paper_id}" if entry.item.paper_id else None


def post_collection(
    request: Request, db: WriteDb, actor: ActorDep, form: PageForm, ns: str, slug: str
) -> Response:
    """Every change of one collection; `action` says which."""
    if actor.user_id is None:
        return redirect_to_login(request)
    collection = access_collection(db, actor, ns, slug)
    action, item = form.text("action"), form.text("item")
    message, back = None, collection_href(collection)
    if action in ("vote", "unvote"):
        set_vote(db, actor, collection, action == "vote")
    elif action in ("up", "down"):
        move_item_by(db, actor, collection, item, -1 if action == "up" else 1)
        back += f"#item-{item}"
    elif action == "note":
        update_item(db, actor, collection, item, note=form.text("note"))
        back += f"#item-{item}"
    elif action == "remove":
        delete_item(db, actor, collection, item)
    elif action == "add":
        add_item(db, actor, collection, form.text("type"), _item_id(form.text("id")), form.text("note"))
    elif action == "edit":
        _edit(db, actor, collection, form)
        back, message = collection_href(collection), lazy("Saved.")
    elif action == "delete":
        delete_collection(db, actor, collection)
        back, message = f"/collections?owner={collection.namespace.name}", lazy("The collection is gone.")
    else:
        raise BadRequest(lazy("This form names no action: open the page again."))
    return redirect_page(request, back, message)


def _item_id(text: str) -> str:
    """The id, also from the address of a page of this site or of arXiv."""
    path = text.split("://", 1)[-1].split("/", 1)[-1] if "://" in text else text
    for prefix in ("abs/", "models/", "datasets/", "spaces/", "kernels/", "buckets/", "collections/"):
        path = path.removeprefix(prefix)
    return path.strip("/")[:220]


def _edit(db: Session, actor: Actor, collection: Collection, form: Form) -> None:
    update_collection(
        db,
        actor,
        collection,
        title=form.text("title"),
        description=form.text("description"),
        is_private=form.text("visibility") == "private",
        theme=form.text("theme") or None,
    )


def new_page(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    return _new_page(request, db, actor, {}, "", 200)


def _new_page(
    request: Request, db: Session, actor: Actor, values: dict[str, str], error: str, status: int
) -> Response:
    context = {"owners": owner_options(db, actor), "values": values, "error": error}
    return render_page(request, actor, "collections/new.html", context, status=status)


def owner_options(db: Session, actor: Actor) -> list[Option]:
    """The actor and the organisations where they may create things."""
    found = [Option(actor.name, actor.name, icon="user")]
    for membership in list_memberships(db, actor.require_user()):
        if membership.role != "read":
            found.append(Option(membership.organization.name, membership.organization.name, icon="users"))
    return found


def post_new(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    values = {name: form.text(name) for name in ("owner", "title", "description", "visibility")}
    try:
        collection = create_collection(
            db,
            actor,
            values["owner"] or actor.name,
            values["title"],
            description=values["description"],
            is_private=values["visibility"] == "private",
        )
    except LlmosError as error:
        db.rollback()
        return _new_page(request, db, actor, values, error.message, error.status)
    if form.text("type"):
        add_item(db, actor, collection, form.text("type"), form.text("id"))
    return redirect_page(request, collection_href(collection))


def add_dialog(request: Request, db: ReadDb, actor: ActorDep) -> Response:
    """`?type=model&id=ada/x`: the viewer's collections with marks. A fragment for htmx, else a page."""
    if actor.user_id is None:
        return redirect_to_login(request)
    kind, item_id = request.query_params.get("type", ""), request.query_params.get("id", "")[:220]
    target = target_of(db, actor, kind, item_id)
    mine = list_changeable(db, actor)
    listed = collections_with(db, target["target_key"], [found.id for found in mine])
    context = {
        "kind": kind,
        "item_id": item_id,
        "choices": [
            {"slug": slug_of(found), "title": found.title, "owner": found.namespace.name,
             "is_private": found.is_private, "is_listed": found.id in listed}
            for found in mine
        ],
        "owners": owner_options(db, actor),
        "next": safe_next(request.query_params.get("next"), "/collections"),
    }  # fmt: skip
    is_fragment = request.headers.get("hx-request") == "true"
    template = "collections/add_part.html" if is_fragment else "collections/add.html"
    return render_page(request, actor, template, context)


def post_add(request: Request, db: WriteDb, actor: ActorDep, form: PageForm) -> Response:
    """Lists the thing in exactly the chosen ones of the collections that were shown."""
    if actor.user_id is None:
        return redirect_to_login(request)
    kind, item_id = form.text("type"), form.text("id")
    target = target_of(db, actor, kind, item_id)
    chosen = set(form.texts("in"))
    for slug in form.texts("shown")[:50]:
        namespace, _, tail = slug.partition("/")
        collection = access_collection(db, actor, namespace, tail)
        item = _listed(db, collection, target["target_key"])
        if slug in chosen and item is None:
            add_item(db, actor, collection, kind, item_id)
        elif slug not in chosen and item is not None:
            delete_item(db, actor, collection, access_item(db, collection, item).object_id)
    return redirect_page(request, safe_next(form.text("next"), "/collections"), lazy("Saved."))


def _listed(db: Session, collection: Collection, target_key: str) -> str | None:
    return db.scalar(
        select(CollectionItem.object_id).where(
            CollectionItem.collection_id == collection.id, CollectionItem.target_key == target_key
        )
    )


def add_collection_pages(app: FastAPI) -> None:
    router = Router()
    get, post = ["GET", "HEAD"], ["POST"]
    add_page(router, "/collections", list_page, get)
    add_page(router, "/collections/new", new_page, get)
    add_page(router, "/collections/new", post_new, post)
    add_page(router, "/collections/add", add_dialog, get)
    add_page(router, "/collections/add", post_add, post)
    add_page(router, "/collections/{ns:seg}", owner_page, get)
    add_page(router, "/collections/{ns:seg}/{slug:seg}", collection_page, get)
    add_page(router, "/collections/{ns:seg}/{slug:seg}", post_collection, post)
    add_router(app, router)
