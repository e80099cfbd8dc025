"""The one way from a request to a page: language, theme, viewer, form token, messages.

Pages of every feature answer with `render_page(request, actor, template, context)` and, after a
change, with `redirect_page(request, url, message)`; forms arrive as `PageForm`, checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, cast
from urllib.parse import quote

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from llmos.core.errors import Forbidden
from llmos.core.ids import new_secret
from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.auth.edge import ActorDep, check_same_origin
from llmos.infra.i18n import Locale, lazy, negotiate_locale
from llmos.infra.i18n.lazy import LazyString
from llmos.infra.runtime import Runtime
from llmos.infra.security.csrf import is_csrf_valid, issue_csrf
from llmos.infra.web.cookies import drop_cookie, set_cookie
from llmos.infra.web.deps import get_runtime
from llmos.infra.web.forms import Form, read_form
from llmos.infra.web.page_headers import PAGE_HEADERS
from llmos.infra.web.urls import base_url
from llmos.ui.render import Flash, InstallProgress, MenuLink, PageContext, Theme, Viewer, render

VISITOR_COOKIE = "llmos_visitor"
LOCALE_COOKIE = "llmos_locale"
THEME_COOKIE = "llmos_theme"
FLASH_COOKIE = "llmos_flash"
_FLASH_TTL_S = 300
_MULTIPART_LIMIT_BYTES = 3 * 1024 * 1024

FlashKind = Literal["success", "info", "warning", "danger"]

_install_progress: list[Callable[[], InstallProgress | None]] = []


def set_install_progress(source: Callable[[], InstallProgress | None]) -> None:
    """Slot: who knows what is still being installed behind the running site."""
    _install_progress[:] = [source]


_unread_counter: list[Callable[[Runtime, int], int]] = []


def set_unread_counter(count: Callable[[Runtime, int], int]) -> None:
    """Slot: who knows how many unread notifications a person has, for the bell of every page."""
    _unread_counter[:] = [count]


_menu_links: list[Callable[[Runtime, Actor], MenuLink | None]] = []


def add_menu_link(source: Callable[[Runtime, Actor], MenuLink | None]) -> None:
    """Slot: an entry of the menu of signed-in people, for those to whom `source` gives one."""
    if source not in _menu_links:
        _menu_links.append(source)


def page_context(request: Request, actor: Actor | None = None, **extra: Any) -> PageContext:
    """What every page needs of its request; `extra` overrides fields (for example `notice`).

    Without `actor` the one found earlier for this request is taken, else a visitor.
    """
    if actor is None:
        actor = cast(Actor, getattr(request.state, "actor", ANONYMOUS))
    rt = get_runtime(request)
    values: dict[str, Any] = {
        "locale": request_locale(request, actor),
        "theme": request_theme(request, actor),
        "viewer": _viewer(actor),
        "csrf_token": issue_csrf(rt.signer, _csrf_binding(request, actor)),
        "path": request.scope["path"],
        "site_name": rt.settings.site_name,
        "base_url": base_url(request, rt.settings),
        "flashes": _read_flashes(request, rt),
        "install_progress": _install_progress[0]() if _install_progress else None,
        "can_sign_up": rt.settings.signup == "open",
        "unread_count": _count_unread(rt, actor),
        "suggest_url": "/search/suggest",
        "menu_links": _links_of(rt, actor),
    }
    if actor.is_suspended:
        values["notice"] = lazy("Your account is suspended: see why, until when, and how to appeal.")
        values["notice_href"] = "/moderation/standing"
    elif actor.is_warned:
        values["notice"] = lazy("A moderator has warned you: read what for.")
        values["notice_href"] = "/moderation/standing"
    return PageContext(**{**values, **extra})


def render_page(
    request: Request,
    actor: Actor | None,
    template: str,
    context: Mapping[str, Any] | object,
    *,
    status: int = 200,
    **extra: Any,
) -> HTMLResponse:
    """The template as an answer with the headers of a page and the cookies its forms need."""
    page = page_context(request, actor, **extra)
    response = HTMLResponse(render(template, context, page), status, PAGE_HEADERS)
    settings = get_runtime(request).settings
    fresh_visitor = getattr(request.state, "visitor", None)
    if fresh_visitor:
        set_cookie(response, request, settings, VISITOR_COOKIE, fresh_visitor)
    if FLASH_COOKIE in request.cookies:
        drop_cookie(response, FLASH_COOKIE)
    return response


def redirect_page(
    request: Request, url: str, message: str | None = None, kind: FlashKind = "success"
) -> RedirectResponse:
    """303 to a path of ours; `message` (text or `lazy(...)`) is shown once on the next page."""
    response = RedirectResponse(url, 303)
    if message is not None:
        _set_flash(request, response, message, kind)
    return response


def redirect_to_login(request: Request) -> RedirectResponse:
    """Send a visitor to the sign-in page and bring them back afterwards."""
    return RedirectResponse(f"/login?next={quote(_path_with_query(request), safe='/')}", 303)


def safe_next(target: str | None, default: str = "/") -> str:
    """`target` if it is a path on this site, else `default`; never another host."""
    if not target or not target.startswith("/") or target.startswith(("//", "/\\")):
        return default
    if any(ord(char) <= 0x20 or char == "\\" or ord(char) == 0x7F for char in target):
        return default
    return target


def request_locale(request: Request, actor: Actor) -> Locale:
    """The person's own choice, then the cookie, then the browser's wish, then the site's default."""
    wish = request.headers.get("accept-language", "")[:900]
    fallback = get_runtime(request).settings.default_locale
    return negotiate_locale(f"{wish},{fallback};q=0.001", request.cookies.get(LOCALE_COOKIE), actor.locale)


def request_theme(request: Request, actor: Actor) -> Theme:
    theme = actor.theme or request.cookies.get(THEME_COOKIE)
    return cast(Theme, theme) if theme in ("light", "dark") else "auto"


async def _checked_form(request: Request, actor: ActorDep) -> Form:
    check_same_origin(request)
    is_multipart = request.headers.get("content-type", "").startswith("multipart/")
    form = await read_form(request, limit_bytes=_MULTIPART_LIMIT_BYTES if is_multipart else 64 * 1024)
    # A script that sends an Authorization header cannot be a page of another site.
    if actor.token_id is None:
        check_csrf(request, actor, form)
    return form


PageForm = Annotated[Form, Depends(_checked_form)]


def check_csrf(request: Request, actor: Actor, form: Form) -> None:
    """Refuse a form whose token (field or `X-CSRF-Token`) is not of this session or visitor."""
    token = request.headers.get("x-csrf-token") or form.text("csrf_token")
    binding = _csrf_binding(request, actor)
    if not is_csrf_valid(get_runtime(request).signer, token, binding):
        raise Forbidden(lazy("This form is out of date: open the page again and repeat."))


def _csrf_binding(request: Request, actor: Actor) -> str:
    if actor.session_id is not None:
        return f"session:{actor.session_id}"
    visitor = request.cookies.get(VISITOR_COOKIE) or getattr(request.state, "visitor", None)
    if not visitor:
        visitor = request.state.visitor = new_secret(16)
    return f"visitor:{visitor}"


def _count_unread(rt: Runtime, actor: Actor) -> int | None:
    if actor.user_id is None or not _unread_counter:
        return None
    return _unread_counter[0](rt, actor.user_id)


def _links_of(rt: Runtime, actor: Actor) -> tuple[MenuLink, ...]:
    if actor.user_id is None:
        return ()
    return tuple(link for source in _menu_links if (link := source(rt, actor)) is not None)


def _viewer(actor: Actor) -> Viewer | None:
    if actor.is_anonymous:
        return None
    return Viewer(actor.name, actor.fullname, actor.avatar_url, actor.is_admin)


def _path_with_query(request: Request) -> str:
    query = request.scope.get("query_string", b"").decode("latin-1")
    path: str = request.scope["path"]
    return f"{path}?{query}" if query and request.method == "GET" else path


def _set_flash(request: Request, response: Response, message: str, kind: FlashKind) -> None:
    rt = get_runtime(request)
    payload: dict[str, Any] = {"k": kind, "m": message}
    if isinstance(message, LazyString):
        payload |= {"m": message.message, "p": message.params}
    value = rt.signer.sign("flash", payload, ttl_s=_FLASH_TTL_S)
    set_cookie(response, request, rt.settings, FLASH_COOKIE, value, max_age_s=_FLASH_TTL_S)


def _read_flashes(request: Request, rt: Runtime) -> tuple[Flash, ...]:
    cookie = request.cookies.get(FLASH_COOKIE)
    payload = rt.signer.verify("flash", cookie) if cookie else None
    if payload is None:
        return ()
    message = LazyString(payload["m"], payload["p"]) if "p" in payload else payload["m"]
    return (Flash(message, payload["k"]),)
