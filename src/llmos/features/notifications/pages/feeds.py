"""`/-/feeds/…`: Atom feeds. They show what a visitor may see, whoever asks: readers send no cookies."""

from __future__ import annotations

import hashlib

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import NotFound, RepoNotFound
from llmos.features.accounts.actor import ANONYMOUS
from llmos.features.accounts.policy import access_namespace
from llmos.features.discussions.categories import access_category
from llmos.features.discussions.hrefs import repo_href, thread_href
from llmos.features.discussions.policy import access_topic
from llmos.features.notifications import feeds
from llmos.features.repos.naming import parse_repo_type
from llmos.features.repos.policy import can_read, get_repo
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb, RuntimeDep, get_runtime
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.urls import base_url

router = Router(include_in_schema=False)
FEEDS = "/-/feeds"
METHODS = ["GET", "HEAD"]


def _answer(request: Request, title: str, page_href: str, entries: list[feeds.Entry]) -> Response:
    site = base_url(request, get_runtime(request).settings)
    body = feeds.as_atom(title, site, page_href, request.scope["path"], entries)
    etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {"ETag": etag, "Cache-Control": "public, max-age=60", "X-Content-Type-Options": "nosniff"}
    asked = request.headers.get("if-none-match", "")
    if etag in (part.strip().removeprefix("W/") for part in asked.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/atom+xml", headers=headers)


@router.api_route(FEEDS + "/site.atom", methods=METHODS)
def get_site_feed(request: Request, rt: RuntimeDep, db: ReadDb) -> Response:
    return _answer(request, rt.settings.site_name, "/", feeds.list_site_entries(db))


@router.api_route(FEEDS + "/forum.atom", methods=METHODS)
def get_forum_feed(request: Request, rt: RuntimeDep, db: ReadDb) -> Response:
    return _answer(request, f"{rt.settings.site_name} · Forum", "/forum", feeds.list_forum_entries(db))


@router.api_route(FEEDS + "/forum/{slug:seg}", methods=METHODS)
def get_category_feed(request: Request, db: ReadDb, slug: str) -> Response:
    category = access_category(db, slug.removesuffix(".atom").replace("\0", ""))
    entries = feeds.list_forum_entries(db, category.id)
    return _answer(request, category.name_en, f"/forum/c/{category.slug}", entries)


@router.api_route(FEEDS + "/topics/{name:seg}", methods=METHODS)
def get_topic_feed(request: Request, db: ReadDb, name: str) -> Response:
    digits = name.removesuffix(".atom")
    num = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else 0
    thread = access_topic(db, ANONYMOUS, num)
    return _answer(request, thread.title, thread_href(thread), feeds.list_topic_entries(db, thread))


@router.api_route(FEEDS + "/people/{name:seg}/news.atom", methods=METHODS)
def get_person_feed(request: Request, db: ReadDb, name: str) -> Response:
    namespace = access_namespace(db, ANONYMOUS, name)
    title = namespace.fullname or namespace.name
    return _answer(request, title, f"/{namespace.name}", feeds.list_person_entries(db, namespace))


@router.api_route(FEEDS + "/{kind:seg}/{namespace:seg}/{name:seg}/news.atom", methods=METHODS)
def get_repo_feed(
    request: Request, rt: RuntimeDep, db: ReadDb, kind: str, namespace: str, name: str
) -> Response:
    """`kind` is model, dataset, space or kernel. What is private is not there, for anybody."""
    if "\0" in namespace + name:
        raise NotFound(lazy("There is nothing at this address."))
    repo = get_repo(db, parse_repo_type(kind), namespace, name)
    if repo is None or not can_read(ANONYMOUS, repo) or repo.disabled:
        raise RepoNotFound(lazy("There is no such repository, or it is private."))
    return _answer(request, repo.repo_name, repo_href(repo), feeds.list_repo_entries(db, rt, repo))
