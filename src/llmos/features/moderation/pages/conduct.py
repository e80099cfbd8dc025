"""`/code-of-conduct`: the operator's rules if there are some, else those that come along."""

from __future__ import annotations

from pathlib import Path

from fastapi import Request
from starlette.responses import Response

from llmos.features.auth.edge import ActorDep
from llmos.features.auth.page_context import render_page, request_locale
from llmos.infra.i18n import LOCALES, Locale
from llmos.infra.web.deps import RuntimeDep
from llmos.infra.web.lazy_routes import Router
from llmos.ui.markdown import render_markdown

router = Router(include_in_schema=False)
CONDUCT = "/code-of-conduct"
MAX_BYTES = 200_000
_DEFAULTS = Path(__file__).parent.parent / "texts"


def read_conduct(home: Path, locale: Locale) -> tuple[str, Locale]:
    """The Markdown text and its language.

    `code-of-conduct.<locale>.md` of the home folder, else the operator's text in another
    language, else the default.
    """
    for language in (locale, *(each for each in LOCALES if each != locale)):
        path = home / f"code-of-conduct.{language}.md"
        if path.is_file():
            return path.read_bytes()[:MAX_BYTES].decode("utf-8", "replace"), language
    return (_DEFAULTS / f"code-of-conduct.{locale}.md").read_text("utf-8"), locale


@router.get(CONDUCT)
def get_conduct(request: Request, rt: RuntimeDep, actor: ActorDep) -> Response:
    text, language = read_conduct(rt.settings.home, request_locale(request, actor))
    context = {"text": render_markdown(text), "language": language}
    return render_page(request, actor, "moderation/conduct.html", context)
