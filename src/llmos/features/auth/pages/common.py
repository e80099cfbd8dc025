"""What the pages of this package share: session cookies, forms shown again, the no-store answer."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import HTMLResponse, RedirectResponse

from llmos.core.errors import LlmosError
from llmos.features.auth.edge import SESSION_COOKIE
from llmos.features.auth.page_context import safe_next
from llmos.features.auth.passwords import Browser, NewPerson
from llmos.infra.runtime import Runtime
from llmos.infra.web.cookies import set_cookie
from llmos.infra.web.deps import get_runtime
from llmos.infra.web.forms import Form

DAY_S = 86_400


def browser_of(request: Request) -> Browser:
    return Browser(request.headers.get("user-agent", ""), request.cookies.get(SESSION_COOKIE))


def person_of(form: Form) -> NewPerson:
    """The fields of a form that asks for a new account."""
    return NewPerson(
        name=form.text("name"),
        password=form.text("password", strip=False),
        fullname=form.text("fullname"),
        email=form.text("email") or None,
    )


def signed_in(request: Request, rt: Runtime, secret: str, target: str) -> RedirectResponse:
    """Go on as the person of a new session."""
    response = RedirectResponse(safe_next(target), 303)
    max_age_s = rt.settings.session_days * DAY_S
    set_cookie(response, request, rt.settings, SESSION_COOKIE, secret, max_age_s=max_age_s)
    return response


def field_errors(error: LlmosError) -> dict[str, str]:
    """The message under the name of its field; under `""` when it is about the whole form."""
    return {str(error.data.get("field", "")): error.message}


def secret_page(response: HTMLResponse) -> HTMLResponse:
    """A page that shows something once: nobody may keep a copy."""
    response.headers["Cache-Control"] = "no-store"
    return response


def has_mail(request: Request) -> bool:
    return bool(get_runtime(request).settings.smtp_url)
