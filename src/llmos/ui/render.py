"""`render(template, context, page)`: the one door from a context to HTML.

Templates of the design system lie in `ui/templates`; a feature registers its folder
`features/<name>/templates` and addresses its files as `<name>/detail.html`. Undefined names
raise. Every macro of `templates/components` is available everywhere as `ui.<macro>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.runtime import Context, Macro
from markupsafe import Markup

from llmos.infra.i18n import LOCALES, Locale, localize, translator
from llmos.ui import charts
from llmos.ui.filters import LANGUAGE_TAGS, LocaleFilters, icon_markup
from llmos.ui.static_files import asset, manifest
from llmos.ui.template_cache import compiled_templates

Theme = Literal["auto", "light", "dark"]
ICON_SPRITE = "vendor/lucide/icons.svg"
_TEMPLATES_DIR = Path(__file__).parent / "templates"
_COMPONENTS = "components"

_folders: list[Path] = [_TEMPLATES_DIR]


@dataclass(frozen=True)
class Viewer:
    """The signed-in person, as the header needs them."""

    name: str
    fullname: str = ""
    avatar_url: str | None = None
    is_admin: bool = False


@dataclass(frozen=True)
class Flash:
    """A message carried over a redirect."""

    message: str
    kind: Literal["success", "info", "warning", "danger"] = "success"


@dataclass(frozen=True)
class InstallProgress:
    """What is still being installed behind the running site; shown as a thin banner."""

    label: str
    done: int
    total: int


@dataclass(frozen=True)
class MenuLink:
    """An entry of the viewer's own menu; `label` is text or `lazy(...)`."""

    label: str
    href: str
    icon: str


@dataclass(frozen=True)
class PageContext:
    """What every page needs to know of its request; templates see it as `page`."""

    locale: Locale = "en"
    theme: Theme = "auto"
    viewer: Viewer | None = None
    csrf_token: str = ""
    path: str = "/"
    site_name: str = "LLMOS"
    base_url: str = ""
    flashes: tuple[Flash, ...] = ()
    install_progress: InstallProgress | None = None
    can_sign_up: bool = True
    search_query: str = ""
    suggest_url: str | None = None
    unread_count: int | None = None  # None: no bell
    notice: str = ""
    notice_href: str = ""
    menu_links: tuple[MenuLink, ...] = ()


class UnknownIcon(KeyError):
    """A template asked for an icon that the sprite does not hold."""


def register_templates(path: Path) -> None:
    """Add a folder of templates, e.g. `Path(__file__).parent / "templates"` of a feature."""
    if path not in _folders:
        _folders.append(path)
        environment.cache_clear()


def render(template: str, context: Mapping[str, Any] | object, page: PageContext) -> str:
    """The template as HTML. `context` is a mapping or a dataclass, whose fields become names.

    Raises jinja2.UndefinedError for a name the context lacks, TemplateNotFound.
    """
    values = context if isinstance(context, Mapping) else _as_mapping(context)
    env = environment(page.locale)
    return env.get_template(template).render({**values, "page": page})


def icon(name: str, size: int = 16, label: str = "") -> Markup:
    """An icon by its Lucide name. Raises UnknownIcon, so that a slip shows in tests."""
    if name not in icon_names():
        raise UnknownIcon(f"no icon {name!r} in {ICON_SPRITE}")
    return icon_markup(asset(ICON_SPRITE), name, size, label)


@lru_cache(maxsize=1)
def icon_names() -> frozenset[str]:
    sprite = manifest()[ICON_SPRITE].body.decode()
    return frozenset(re.findall(r'<symbol id="([a-z0-9-]+)"', sprite))


class _QuickContext(Context):
    """A page calls thousands of macros: what they want to be handed is known without asking."""

    def call(self, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        if type(__obj) is not Macro:
            return super().call(__obj, *args, **kwargs)
        kwargs.pop("_block_vars", None)
        kwargs.pop("_loop_vars", None)
        return __obj(self.eval_ctx, *args, **kwargs)


def _quick_gettext(translate: Callable[[str], str]) -> Callable[..., Markup]:
    """Jinja's own asks for the same few hundred texts again and again; every template escapes."""

    @lru_cache(maxsize=4096)
    def text_of(message: str) -> Markup:
        return Markup(translate(message))

    @lru_cache(maxsize=4096)
    def whole(message: str) -> Markup:
        return text_of(message) % {}

    def gettext(message: str, **variables: Any) -> Markup:
        return text_of(message) % variables if variables else whole(message)

    return gettext


@lru_cache(maxsize=len(LOCALES))
def environment(locale: Locale) -> Environment:
    """One environment per language, so that macros translate without being told the language."""
    env = Environment(
        loader=FileSystemLoader(_folders),
        extensions=["jinja2.ext.i18n", "jinja2.ext.do", "jinja2.ext.loopcontrols"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=compiled_templates,
    )
    env.policies["ext.i18n.trimmed"] = True
    catalog = translator(locale)
    env.install_gettext_callables(  # type: ignore[attr-defined]
        catalog.gettext, catalog.ngettext, newstyle=True
    )
    env.globals["gettext"] = env.globals["_"] = _quick_gettext(catalog.gettext)
    env.context_class = _QuickContext
    filters = LocaleFilters(locale)
    env.filters.update(filters.as_dict())
    env.filters["localize"] = lambda text: localize(text, locale)
    env.globals.update(asset=asset, icon=icon, locale=locale, language_tag=LANGUAGE_TAGS[locale])
    env.globals["chart"] = charts
    env.globals["ui"] = _load_components(env)
    return env


def _load_components(env: Environment) -> SimpleNamespace:
    ui = SimpleNamespace()
    env.globals["ui"] = ui
    for path in sorted((_TEMPLATES_DIR / _COMPONENTS).glob("*.html")):
        module = env.get_template(f"{_COMPONENTS}/{path.name}").module
        for name, macro in vars(module).items():
            if not name.startswith("_"):
                setattr(ui, name, macro)
    return ui


def _as_mapping(context: object) -> dict[str, Any]:
    if not is_dataclass(context):
        raise TypeError(f"context must be a mapping or a dataclass, not {type(context).__name__}")
    return {field.name: getattr(context, field.name) for field in fields(context)}
