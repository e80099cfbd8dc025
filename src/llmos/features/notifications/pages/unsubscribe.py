"""The way out of mail: one click in the mail program (RFC 8058), or a page with one button.

No form token is asked for: the signed address itself is the proof, and mail programs send nothing else.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request
from starlette.responses import Response

from llmos.core.errors import NotFound
from llmos.features.accounts.models import User
from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page
from llmos.features.notifications.mails import UNSUBSCRIBE, unsubscribe
from llmos.features.notifications.reasons import LABELS, MODES
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.deps import ReadDb, RuntimeDep, WriteDb
from llmos.infra.web.lazy_routes import Router

router = Router(include_in_schema=False)
ADDRESS = "/-/unsubscribe/{token:seg}"


def _promise(rt: Runtime, token: str) -> tuple[int, str]:
    known = rt.signer.verify(UNSUBSCRIBE, token) if token.isascii() else None
    if known is None:
        raise NotFound(lazy("This link is not one of ours: copy it whole from the mail."))
    return int(known["u"]), str(known["w"])


def _label(what: str) -> str:
    return LABELS[what][0] if what in LABELS else MODES.get(what, what)


def _page(request: Request, actor: ActorDep, what: str, is_done: bool) -> Response:
    context: dict[str, Any] = {"label": _label(what), "is_done": is_done}
    return render_page(request, actor, "notifications/unsubscribe.html", context)


@router.get(ADDRESS)
def get_unsubscribe(request: Request, rt: RuntimeDep, db: ReadDb, actor: ActorDep, token: str) -> Response:
    """Asks; programs that follow links to look for harm must not end anything."""
    user_id, what = _promise(rt, token)
    if db.get(User, user_id) is None:
        raise NotFound(lazy("This link is not one of ours: copy it whole from the mail."))
    return _page(request, actor, what, is_done=False)


@router.post(ADDRESS)
def post_unsubscribe(request: Request, rt: RuntimeDep, db: WriteDb, actor: ActorDep, token: str) -> Response:
    user_id, what = _promise(rt, token)
    if db.get(User, user_id) is not None:
        unsubscribe(db, user_id, what)
    return _page(request, actor, what, is_done=True)
