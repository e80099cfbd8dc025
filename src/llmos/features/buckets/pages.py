"""Buckets in a browser: those of a namespace, and the files of one, folder by folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from llmos.core.errors import EntryNotFound
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page
from llmos.features.buckets.models import Bucket, BucketFile
from llmos.features.buckets.policy import access_bucket
from llmos.features.buckets.queries import BucketFolder, list_buckets, list_tree
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb
from llmos.infra.web.routing import add_router
from llmos.ui.filters import with_query
from llmos.ui.render import register_templates
from llmos.ui.views import Crumb, FileRow

PAGE_SIZE = 200

register_templates(Path(__file__).parent / "templates")


def bucket_href(bucket_name: str) -> str:
    return f"/buckets/{bucket_name}"


def buckets_page(request: Request, db: ReadDb, actor: ActorDep, ns: str) -> Response:
    """The buckets of a person or organisation that the viewer may see."""
    page = list_buckets(db, actor, ns, cursor=request.query_params.get("after"))
    next_href = with_query(f"/buckets/{quote(ns)}", {"after": page.next_cursor}) if page.next_cursor else None
    rows = [_bucket_row(bucket) for bucket in page.items]
    owner = page.items[0].namespace.name if page.items else ns
    return render_page(
        request, actor, "buckets/list.html", {"owner": owner, "rows": rows, "next_href": next_href}
    )


def _bucket_row(bucket: Bucket) -> dict[str, Any]:
    return {
        "name": bucket.bucket_name,
        "href": bucket_href(bucket.bucket_name),
        "is_private": bucket.is_private,
        "file_count": bucket.file_count,
        "size_bytes": bucket.size_bytes,
        "updated_at": bucket.updated_at,
    }


def bucket_page(
    request: Request, db: ReadDb, actor: ActorDep, ns: str, name: str, prefix: str = ""
) -> Response:
    """One folder of a bucket; EntryNotFound where no file lies below it."""
    bucket = access_bucket(db, actor, ns, name)
    folder = prefix.strip("/")
    after = request.query_params.get("after")
    below = f"{folder}/" if folder else ""
    page = list_tree(db, bucket.id, below, cursor=after, limit=PAGE_SIZE)
    if folder and not page.items and not after:
        raise EntryNotFound(
            lazy(
                "Entry not found: there is no folder %(folder)r in %(bucket_name)s.",
                folder=folder,
                bucket_name=bucket.bucket_name,
            )
        )
    here = _tree_href(bucket, folder)
    context: dict[str, Any] = {
        "bucket": _bucket_row(bucket),
        "owner": bucket.namespace.name,
        "base": bucket.name,
        "uri": f"hf://buckets/{bucket.bucket_name}" + (f"/{folder}" if folder else ""),
        "crumbs": _crumbs(bucket, folder),
        "rows": [_row(bucket, entry) for entry in page.items],
        "parent_href": _tree_href(bucket, folder.rpartition("/")[0]) if folder else None,
        "next_href": with_query(here, {"after": page.next_cursor}) if page.next_cursor else None,
    }
    return render_page(request, actor, "buckets/tree.html", context)


def _tree_href(bucket: Bucket, folder: str) -> str:
    href = bucket_href(bucket.bucket_name)
    return f"{href}/tree/{quote(folder, safe='/')}" if folder else href


def _crumbs(bucket: Bucket, folder: str) -> list[Crumb]:
    crumbs = [Crumb(bucket.name, _tree_href(bucket, "") if folder else None)]
    names = folder.split("/") if folder else []
    for depth, name in enumerate(names, 1):
        is_last = depth == len(names)
        crumbs.append(Crumb(name, None if is_last else _tree_href(bucket, "/".join(names[:depth]))))
    return crumbs


def _row(bucket: Bucket, entry: BucketFile | BucketFolder) -> FileRow:
    name = entry.path.rpartition("/")[2]
    if isinstance(entry, BucketFolder):
        return FileRow(name=name, href=_tree_href(bucket, entry.path), kind="folder")
    href = f"{bucket_href(bucket.bucket_name)}/resolve/{quote(entry.path, safe='/')}"
    return FileRow(
        name=name,
        href=href,
        kind="file",
        size_bytes=entry.size_bytes,
        changed_at=entry.mtime or entry.uploaded_at,
        download_href=f"{href}?download=true",
    )


def add_bucket_pages(app: FastAPI) -> None:
    """Before the pages of repositories, which would take `/buckets/{ns}`."""
    router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)
    for path, endpoint in (
        ("/buckets/{ns:seg}", buckets_page),
        ("/buckets/{ns:seg}/{name:seg}", bucket_page),
        ("/buckets/{ns:seg}/{name:seg}/tree", bucket_page),
        ("/buckets/{ns:seg}/{name:seg}/tree/{prefix:rest}", bucket_page),
    ):
        router.add_api_route(path, endpoint, methods=["GET", "HEAD"], response_model=None)
    add_router(app, router)
