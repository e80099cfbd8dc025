"""Forms of buckets: create, upload, delete files, rename, delete, bring back."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool

from llmos.core.errors import BadRequest, LlmosError
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.policy import access_namespace
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import (
    PageForm,
    check_csrf,
    redirect_page,
    redirect_to_login,
    render_page,
    request_locale,
)
from llmos.features.buckets.batch import MAX_OPERATIONS, DeleteFile, apply_batch
from llmos.features.buckets.deletion import delete_bucket, list_deleted_buckets, restore_bucket
from llmos.features.buckets.models import Bucket
from llmos.features.buckets.page_views import bucket_href, bucket_row, tree_href
from llmos.features.buckets.policy import access_bucket, check_admin, check_write
from llmos.features.buckets.service import (
    create_bucket,
    move_bucket,
    parse_bucket_visibility,
    set_bucket_visibility,
)
from llmos.features.buckets.web_upload import MAX_BYTES, put_web_files
from llmos.features.repos.claims import room_bytes
from llmos.features.repos.pages.new import list_owners, visibility_options
from llmos.features.repos.pages.upload_stream import UploadReader
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.forms import Form
from llmos.ui.views import Option


def new_bucket_page(request: Request, db: ReadDb, actor: ActorDep, ns: str) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    return _new_page(request, db, actor, ns)


def _new_page(
    request: Request, db: Any, actor: Actor, owner: str, name: str = "", visibility: str = "", error: Any = ""
) -> Response:
    namespace = access_namespace(db, actor, actor.name if owner == "me" else owner)
    owners = [Option(item.name, item.name) for item in list_owners(db, actor)]
    context = {
        "owners": owners,
        "owner": namespace.name,
        "name": name,
        "visibility": visibility or "public",
        "visibilities": visibility_options(RepoType.MODEL, request_locale(request, actor)),
        "action": f"/buckets/{quote(namespace.name)}/-/new",
        "error": error,
    }
    return render_page(request, actor, "buckets/new.html", context, status=400 if error else 200)


def post_new_bucket(
    request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm, ns: str
) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    owner, name, visibility = form.text("owner") or ns, form.text("name"), form.text("visibility")
    try:
        wanted = parse_bucket_visibility(visibility or None, None)
        bucket = create_bucket(db, actor, owner, name, visibility=wanted)
    except LlmosError as refusal:
        db.rollback()
        with rt.database.reading() as look:
            return _new_page(request, look, actor, ns, name, visibility, refusal.message)
    return redirect_page(request, bucket_href(bucket.bucket_name))


async def post_upload(request: Request, rt: RuntimeDep, actor: ActorDep, ns: str, name: str) -> Response:
    """Who may write is settled before the first byte is read; a script gets JSON with `location`."""
    if actor.user_id is None:
        return redirect_to_login(request)

    def check(form: Form) -> None:
        # A script that sends an Authorization header cannot be a page of another site.
        if actor.token_id is None:
            check_csrf(request, actor, form)

    room = await run_in_threadpool(_room, rt, actor, ns, name)
    with UploadReader(request, rt.settings.tmp_root, check, room) as reader:
        form = await reader.read()
        folder = form.text("folder").strip("/")
        files = [(f"{folder}/{item.name}" if folder else item.name, item.path) for item in reader.files]
        report = await run_in_threadpool(put_web_files, rt, actor, (ns, name), files)
    message: Any = lazy("%(count)s files are in the bucket.", count=report.succeeded)
    if report.failed:
        message = lazy("Not all files were taken: %(reason)s", reason=report.failed[0][1])
    location = tree_href(f"{ns}/{name}", folder if report.succeeded else "")
    answer = redirect_page(request, location, message)
    if request.headers.get("x-requested-with") == "upload":
        scripted = JSONResponse({"location": location})
        scripted.raw_headers += [item for item in answer.raw_headers if item[0] == b"set-cookie"]
        return scripted
    return answer


def _room(rt: Runtime, actor: Actor, ns: str, name: str) -> int:
    with rt.database.reading() as db:
        bucket = access_bucket(db, actor, ns, name)
        check_write(actor, bucket)
        room = room_bytes(db, rt.settings, bucket.namespace)
    return MAX_BYTES if room is None else min(room, MAX_BYTES)


def post_delete_files(
    request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm, ns: str, name: str
) -> Response:
    """`path` names each file to delete."""
    if actor.user_id is None:
        return redirect_to_login(request)
    paths = form.texts("path")
    if not 0 < len(paths) <= MAX_OPERATIONS:
        raise BadRequest(lazy("Choose at least one file."))
    bucket = access_bucket(db, actor, ns, name)
    report = apply_batch(db, actor, rt.settings, bucket, [DeleteFile(path) for path in paths])
    message = lazy("%(count)s files deleted.", count=report.succeeded)
    return redirect_page(request, bucket_href(bucket.bucket_name), message)


def settings_page(request: Request, db: ReadDb, actor: ActorDep, ns: str, name: str) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    return _settings(request, db, actor, access_bucket(db, actor, ns, name))


def _settings(request: Request, db: Any, actor: Actor, bucket: Bucket, error: Any = "") -> Response:
    check_admin(actor, bucket)
    owners = [Option(item.name, item.name) for item in list_owners(db, actor)]
    if bucket.namespace.name not in [item.value for item in owners]:
        owners.insert(0, Option(bucket.namespace.name, bucket.namespace.name))
    context = {
        "bucket": bucket_row(bucket),
        "owner": bucket.namespace.name,
        "base": bucket.name,
        "owners": owners,
        "visibility": bucket.visibility,
        "visibilities": visibility_options(RepoType.MODEL, request_locale(request, actor)),
        "action": f"{bucket_href(bucket.bucket_name)}/settings",
        "error": error,
    }
    return render_page(request, actor, "buckets/settings.html", context, status=400 if error else 200)


def post_settings(
    request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm, ns: str, name: str
) -> Response:
    """`action` is rename, visibility or delete."""
    if actor.user_id is None:
        return redirect_to_login(request)
    bucket = access_bucket(db, actor, ns, name)
    check_admin(actor, bucket)
    try:
        return _change(request, rt, db, actor, form, bucket)
    except LlmosError as refusal:
        db.rollback()
        with rt.database.reading() as look:
            return _settings(request, look, actor, access_bucket(look, actor, ns, name), refusal.message)


def _change(request: Request, rt: Runtime, db: Any, actor: Actor, form: Form, bucket: Bucket) -> Response:
    action, owner, full_name = form.text("action"), bucket.namespace.name, bucket.bucket_name
    if action == "rename":
        move_bucket(db, actor, rt.settings, bucket, f"{form.text('owner')}/{form.text('name')}")
        message = lazy("The bucket is now called %(name)s.", name=bucket.bucket_name)
        return redirect_page(request, f"{bucket_href(bucket.bucket_name)}/settings", message)
    if action == "visibility":
        wanted = parse_bucket_visibility(form.text("visibility"), None)
        set_bucket_visibility(db, actor, bucket, wanted or "private")
        return redirect_page(request, f"{bucket_href(full_name)}/settings", lazy("The visibility is saved."))
    if action != "delete":
        raise BadRequest(lazy("action must be rename, visibility or delete."))
    if form.text("confirm") != full_name:
        raise BadRequest(lazy("Type %(name)s exactly, to show that you mean it.", name=full_name))
    delete_bucket(db, actor, bucket)
    message = lazy("%(name)s is deleted. For seven days you can bring it back.", name=full_name)
    return redirect_page(request, f"/buckets/{owner}/-/deleted", message)


def deleted_buckets_page(request: Request, db: ReadDb, actor: ActorDep, ns: str) -> Response:
    """What was deleted in a namespace and can still be brought back."""
    if actor.user_id is None:
        return redirect_to_login(request)
    namespace = access_namespace(db, actor, ns)
    rows = [
        bucket_row(bucket) | {"object_id": bucket.object_id, "deleted_at": bucket.deleted_at}
        for bucket in list_deleted_buckets(db, actor, namespace)
    ]
    action = f"/buckets/{namespace.name}/-/deleted"
    context = {"owner": namespace.name, "rows": rows, "action": action}
    return render_page(request, actor, "buckets/deleted.html", context)


def post_restore_bucket(
    request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, form: PageForm, ns: str
) -> Response:
    if actor.user_id is None:
        return redirect_to_login(request)
    bucket = restore_bucket(db, actor, rt.settings, form.text("object_id"))
    message = lazy("%(name)s is back.", name=bucket.bucket_name)
    return redirect_page(request, bucket_href(bucket.bucket_name), message)
