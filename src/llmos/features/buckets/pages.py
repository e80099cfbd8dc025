"""Buckets in a browser: those of a namespace, and the files of one, folder by folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from llmos.core.errors import EntryNotFound
from llmos.features.accounts.policy import get_namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page
from llmos.features.buckets import page_forms as forms
from llmos.features.buckets.models import Bucket, BucketFile
from llmos.features.buckets.page_views import bucket_href, bucket_row, tree_href
from llmos.features.buckets.policy import access_bucket
from llmos.features.buckets.queries import BucketFolder, list_buckets, list_tree
from llmos.features.buckets.web_upload import MAX_BYTES
from llmos.features.repos.policy import can_admin, can_create, can_write
from llmos.infra.i18n import lazy
from llmos.infra.web.deps import ReadDb
from llmos.infra.web.lazy_routes import Router
from llmos.infra.web.routing import add_router
from llmos.ui.filters import with_query
from llmos.ui.render import register_templates
from llmos.ui.views import Crumb, FileRow

PAGE_SIZE = 200

register_templates(Path(__file__).parent / "templates")


def buckets_page(request: Request, db: ReadDb, actor: ActorDep, ns: str) -> Response:
    """The buckets of a person or organisation that the viewer may see."""
    page = list_buckets(db, actor, ns, cursor=request.query_params.get("after"))
    next_href = with_query(f"/buckets/{quote(ns)}", {"after": page.next_cursor}) if page.next_cursor else None
    rows = [bucket_row(bucket) for bucket in page.items]
    owner = page.items[0].namespace.name if page.items else ns
    namespace = get_namespace(db, actor.name if ns == "me" else ns)
    may_create = namespace is not None and can_create(actor, namespace)
    context = {"owner": owner, "rows": rows, "next_href": next_href, "may_create": may_create}
    return render_page(request, actor, "buckets/list.html", context)


def bucket_page(
    request: Request, db: ReadDb, actor: ActorDep, ns: str, name: str, prefix: str = ""
) -> Response:
    """One folder of a bucket; EntryNotFound where no file lies below it."""
    bucket = access_bucket(db, actor, ns, name)
    folder = prefix.strip("/")
    after = request.query_params.get("after")
    below = f"{folder}/" if folder else ""
    page = list_tree(db, bucket.id, below, cursor=after, limit=PAGE_SIZE)
    may_write = can_write(actor, bucket)
    if folder and not page.items and not after:
        raise EntryNotFound(
            lazy(
                "Entry not found: there is no folder %(folder)r in %(bucket_name)s.",
                folder=folder,
                bucket_name=bucket.bucket_name,
            )
        )
    here = tree_href(bucket.bucket_name, folder)
    context: dict[str, Any] = {
        "bucket": bucket_row(bucket),
        "folder": folder,
        "may_write": may_write,
        "may_admin": can_admin(actor, bucket),
        "max_bytes": MAX_BYTES,
        "files": [entry.path for entry in page.items if isinstance(entry, BucketFile)],
        "owner": bucket.namespace.name,
        "base": bucket.name,
        "uri": f"hf://buckets/{bucket.bucket_name}" + (f"/{folder}" if folder else ""),
        "crumbs": _crumbs(bucket, folder),
        "rows": [_row(bucket, entry) for entry in page.items],
        "parent_href": tree_href(bucket.bucket_name, folder.rpartition("/")[0]) if folder else None,
        "next_href": with_query(here, {"after": page.next_cursor}) if page.next_cursor else None,
    }
    return render_page(request, actor, "buckets/tree.html", context)


def _crumbs(bucket: Bucket, folder: str) -> list[Crumb]:
    crumbs = [Crumb(bucket.name, tree_href(bucket.bucket_name, "") if folder else None)]
    names = folder.split("/") if folder else []
    for depth, name in enumerate(names, 1):
        is_last = depth == len(names)
        crumbs.append(
            Crumb(name, None if is_last else tree_href(bucket.bucket_name, "/".join(names[:depth])))
        )
    return crumbs


def _row(bucket: Bucket, entry: BucketFile | BucketFolder) -> FileRow:
    name = entry.path.rpartition("/")[2]
    if isinstance(entry, BucketFolder):
        return FileRow(name=name, href=tree_href(bucket.bucket_name, entry.path), kind="folder")
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
    router = Router(default_response_class=HTMLResponse, include_in_schema=False)
    get, post = ["GET", "HEAD"], ["POST"]
    for methods, path, endpoint in (
        (get, "/buckets/{ns:seg}", buckets_page),
        (get, "/buckets/{ns:seg}/-/new", forms.new_bucket_page),
        (post, "/buckets/{ns:seg}/-/new", forms.post_new_bucket),
        (get, "/buckets/{ns:seg}/-/deleted", forms.deleted_buckets_page),
        (post, "/buckets/{ns:seg}/-/deleted", forms.post_restore_bucket),
        (get, "/buckets/{ns:seg}/{name:seg}", bucket_page),
        (get, "/buckets/{ns:seg}/{name:seg}/settings", forms.settings_page),
        (post, "/buckets/{ns:seg}/{name:seg}/settings", forms.post_settings),
        (post, "/buckets/{ns:seg}/{name:seg}/upload", forms.post_upload),
        (post, "/buckets/{ns:seg}/{name:seg}/delete-files", forms.post_delete_files),
        (get, "/buckets/{ns:seg}/{name:seg}/tree", bucket_page),
        (get, "/buckets/{ns:seg}/{name:seg}/tree/{prefix:rest}", bucket_page),
    ):
        router.add_api_route(path, endpoint, methods=methods, response_model=None)
    add_router(app, router)
