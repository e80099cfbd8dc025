"""Markdown to safe HTML: CommonMark, GitHub's additions, maths, coloured code.

The text is untrusted. Raw HTML in it is allowed by the parser and then, with everything else,
put through an allow-list: what is not listed here does not come out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urljoin, urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.gfm import gfm_plugin

from llmos.ui.emoji import EMOJI
from llmos.ui.highlight import TOKEN_CLASSES, highlight_snippet
from llmos.ui.line_breaks import join_wide_lines

MAX_CHARS = 200_000
# Parsers need quadratic time for one huge paragraph and for very deep trees.
MAX_PARAGRAPH_CHARS = 20_000
MAX_DEPTH = 500
ID_PREFIX = "user-content-"
_SHORTCODE = re.compile(r":([a-z0-9_+-]{1,40}):")
_SLUG_DROP = re.compile(r"[^\w\- ]", re.UNICODE)
_ALIGN = re.compile(r"text-align:(left|center|right)")
# `@ada`, `#12`, `ada/tiny-llm#12`: never inside a word, an address or a path.
_MENTION = r"(?<![\w@/.#&-])@(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?)(?![\w@/])"
_NUMBER = r"(?<![\w#&/])(?P<repo>(?:[a-z]+/)?[\w.-]{1,96}/[\w.-]{1,96})?#(?P<number>[1-9]\d{0,8})(?![\w])"
_MENTIONS = re.compile(_MENTION)
_REFERENCES = re.compile(f"{_MENTION}|{_NUMBER}")
_CODE_SPANS = re.compile(r"(?ms)^(`{3,}|~{3,}).*?^\1|`[^`\n]+`")
_MATH_TOKENS = ("math_inline", "math_inline_double", "math_block", "math_block_label")

_TAG_TEXT = re.compile(r"<[^>]*>")
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+")
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
# Elements that end by themselves and so never make a tree deeper.
_FLAT_TAGS = (
    "area br col dd dt embed hr img input li link meta optgroup option p param source tbody td "
    "tfoot th thead tr track wbr"
)
_FLAT = frozenset(_FLAT_TAGS.split())

_BLOCKS = "address blockquote center dd details div dl dt figcaption figure hr li ol p pre section summary ul"
_INLINE = (
    "a abbr b bdi bdo br cite code del dfn em i ins kbd mark q rp rt ruby s samp small span "
    "strike strong sub sup time tt u var wbr"
)
_MEDIA = "audio img picture source video"
_TABLES = "caption col colgroup table tbody td tfoot th thead tr"
_HEADINGS = "h1 h2 h3 h4 h5 h6"
ALLOWED_TAGS = frozenset(" ".join((_BLOCKS, _INLINE, _MEDIA, _TABLES, _HEADINGS, "input")).split())

_ALIGNABLE = "div p h1 h2 h3 h4 h5 h6 table td th tr img"
ALLOWED_ATTRIBUTES: dict[str, set[str]] = {
    "*": {"dir", "id", "lang", "title"},
    "a": {"href", "aria-label", "aria-hidden"},
    "audio": {"controls", "src"},
    "col": {"span"},
    "details": {"open"},
    "img": {"alt", "height", "src", "width"},
    "input": {"checked", "disabled", "type"},
    "ol": {"start", "reversed"},
    "source": {"media", "src", "srcset", "type"},
    "td": {"colspan", "rowspan", "width"},
    "th": {"colspan", "rowspan", "scope", "width"},
    "time": {"datetime"},
    "video": {"controls", "height", "loop", "muted", "poster", "src", "width"},
}
for _tag in _ALIGNABLE.split():
    ALLOWED_ATTRIBUTES.setdefault(_tag, set()).add("align")

_ALERTS = {f"markdown-alert-{name}" for name in ("note", "tip", "important", "warning", "caution")}
ALLOWED_CLASSES: dict[str, set[str]] = {
    "a": {"footnote-backref", "heading-anchor", "mention", "reference"},
    "code": {"highlight"},
    "div": {"markdown-alert", "math", "math-block"} | _ALERTS,
    "hr": {"footnotes-sep"},
    "input": {"task-list-item-checkbox"},
    "li": {"footnote-item", "task-list-item"},
    "ol": {"footnotes-list"},
    "p": {"markdown-alert-title"},
    "pre": {"diagram"},
    "section": {"footnotes"},
    "span": {"math", "math-inline", "math-block"} | set(TOKEN_CLASSES),
    "sup": {"footnote-ref"},
    "td": {"ta-left", "ta-center", "ta-right"},
    "th": {"ta-left", "ta-center", "ta-right"},
    "ul": {"contains-task-list"},
}
_LINK_SCHEMES = {"http", "https", "mailto"}
_MEDIA_SCHEMES = {"http", "https"}


@dataclass(frozen=True)
class TocEntry:
    level: int
    id: str
    text: str


@dataclass(frozen=True)
class Rendered:
    """`html` is sanitised: put it into a page as `{{ card.html|safe }}` inside
    `<div class="markdown">`. Load the maths files only if `has_math`."""

    html: str
    has_math: bool
    toc: Sequence[TocEntry]
    is_truncated: bool = False
    has_diagram: bool = False


@dataclass(frozen=True)
class References:
    """What names and numbers in a text lead to.

    `people`: addresses by lower-case name; a name that is not in it stays text. Ask
    `find_mentions` for the names of all texts of a page and look them up at once.
    `thread_href(repo, number)`: the address of a thread of `repo` ("ada/tiny-llm", or None for
    where the text stands), None to leave it as text.
    """

    people: Mapping[str, str] = field(default_factory=dict)
    thread_href: Callable[[str | None, int], str | None] | None = None


NO_REFERENCES = References()


def find_mentions(texts: Iterable[str], limit: int = 200) -> set[str]:
    """Lower-case names written as `@name` outside code, at most `limit` of them."""
    names: set[str] = set()
    for text in texts:
        for match in _MENTIONS.finditer(_CODE_SPANS.sub(" ", text[:MAX_CHARS])):
            names.add(match["name"].lower())
            if len(names) >= limit:
                return names
    return names


def render_markdown(
    text: str,
    *,
    base_url_for_links: str = "",
    image_base: str = "",
    heading_ids: bool = True,
    references: References = NO_REFERENCES,
    scope: str = "",
) -> Rendered:
    """Safe HTML of untrusted Markdown.

    Relative links and images are resolved against the given bases, which end in "/"
    (`/ada/tiny-llm/blob/main/` and `/ada/tiny-llm/resolve/main/`). Ids and links to them get
    ID_PREFIX, and after it `scope`: give each comment of a page its own, or their footnotes meet.
    Text beyond MAX_CHARS is cut and `is_truncated` set. Paragraphs beyond
    MAX_PARAGRAPH_CHARS stay unformatted; text nested beyond MAX_DEPTH is shown as written.
    """
    is_truncated = len(text) > MAX_CHARS
    env: dict[str, Any] = {"toc": [], "slugs": set(), "heading_ids": heading_ids, "people": references}
    tokens = _parser().parse(text[:MAX_CHARS].replace("\x00", "\ufffd"), env)
    html = _parser().renderer.render(tokens, _parser().options, env)
    if _is_too_deep(html):
        return Rendered(f"<pre>{escapeHtml(text[:MAX_CHARS])}</pre>", False, (), is_truncated)
    html = _sanitise(html, base_url_for_links, image_base, f"{ID_PREFIX}{scope}-" if scope else ID_PREFIX)
    has_math = '<div class="math ' in html or '<span class="math ' in html
    return Rendered(html, has_math, tuple(env["toc"]), is_truncated, '<pre class="diagram">' in html)


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    # gfm_plugin switches on tables, strikethrough, task lists, alerts, autolinks and footnotes.
    md = MarkdownIt("commonmark", {"html": True, "maxNesting": 20})
    md.use(gfm_plugin)
    md.use(dollarmath_plugin, allow_space=False, allow_digits=False, allow_labels=False, double_inline=True)
    md.core.ruler.before("inline", "llmos_limit", _limit_paragraphs)
    md.core.ruler.push("llmos_finish", _finish_tokens)
    for name in ("fence", "code_block", *_MATH_TOKENS):
        md.add_render_rule(name, _render_math if name in _MATH_TOKENS else _render_code)
    return md


def _limit_paragraphs(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline" and len(token.content) > MAX_PARAGRAPH_CHARS:
            token.type = "text"


def _is_too_deep(html: str) -> bool:
    """Counts elements opened and not closed, by name, so that stray end tags hide nothing."""
    unclosed: dict[str, int] = {}
    depth = 0
    for match in _TAG.finditer(html):
        name = match[2].lower()
        if name in _FLAT:
            continue
        if not match[1]:
            unclosed[name] = unclosed.get(name, 0) + 1
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif unclosed.get(name, 0) > 0:
            unclosed[name] -= 1
            depth -= 1
    return False


def _finish_tokens(state: StateCore) -> None:
    """Headings get ids, table cells a class instead of a style, shortcodes become emoji."""
    for position, token in enumerate(state.tokens):
        if token.type == "heading_open":
            _name_heading(state, token, state.tokens[position + 1])
        elif token.type in ("th_open", "td_open"):
            match = _ALIGN.search(str(token.attrs.pop("style", "")))
            if match:
                token.attrJoin("class", f"ta-{match[1]}")
        elif token.type == "inline":
            for child in token.children or ():
                if child.type == "text":
                    child.content = _with_emoji(child.content)
            join_wide_lines(token.children or ())
            references = state.env.get("people", NO_REFERENCES)
            if references is not NO_REFERENCES and token.children:
                token.children = _with_references(token.children, references)


def _with_references(children: Sequence[Token], references: References) -> list[Token]:
    """Names and numbers become links, except inside links."""
    result: list[Token] = []
    link_depth = 0
    for child in children:
        if child.type in ("link_open", "link_close"):
            link_depth += child.nesting
        if child.type == "text" and link_depth == 0 and ("@" in child.content or "#" in child.content):
            result.extend(_split_references(child, references))
        else:
            result.append(child)
    return result


def _split_references(child: Token, references: References) -> list[Token]:
    result: list[Token] = []
    at = 0
    for match in _REFERENCES.finditer(child.content):
        href = _reference_href(match, references)
        if href is None:
            continue
        kind = "mention" if match["name"] else "reference"
        result.append(_text_token(child.content[at : match.start()], child.level))
        result.append(Token("link_open", "a", 1, attrs={"href": href, "class": kind}, level=child.level))
        result.append(_text_token(match[0], child.level + 1))
        result.append(Token("link_close", "a", -1, level=child.level))
        at = match.end()
    if not result:
        return [child]
    result.append(_text_token(child.content[at:], child.level))
    return result


def _reference_href(match: re.Match[str], references: References) -> str | None:
    if match["name"]:
        return references.people.get(match["name"].lower())
    if references.thread_href is None:
        return None
    return references.thread_href(match["repo"], int(match["number"]))


def _text_token(text: str, level: int) -> Token:
    return Token("text", "", 0, content=text, level=level)


def _with_emoji(text: str) -> str:
    return _SHORTCODE.sub(lambda match: EMOJI.get(match[1], match[0]), text)


def _name_heading(state: StateCore, heading: Token, inline: Token) -> None:
    if not state.env.get("heading_ids"):
        return
    text = "".join(
        child.content for child in inline.children or () if child.type in ("text", "code_inline")
    ).strip()
    slug = _SLUG_DROP.sub("", text.lower()).strip().replace(" ", "-") or "section"
    taken: set[str] = state.env["slugs"]
    unique, number = slug, 0
    while unique in taken:
        number += 1
        unique = f"{slug}-{number}"
    taken.add(unique)
    heading.attrSet("id", unique)
    state.env["toc"].append(TocEntry(int(heading.tag[1]), ID_PREFIX + unique, _with_emoji(text)))


def _render_code(self: Any, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
    token = tokens[idx]
    language = token.info.split()[0] if token.info.strip() else ""
    if language == "math":
        return _math_block(token.content)
    if language == "mermaid":
        return f'<pre class="diagram"><code>{escapeHtml(token.content)}</code></pre>\n'
    return f'<pre><code class="highlight">{highlight_snippet(token.content, language)}</code></pre>\n'


def _render_math(self: Any, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
    token = tokens[idx]
    if token.type == "math_inline_double":
        return f'<span class="math math-block">{escapeHtml(token.content.strip())}</span>'
    if token.type == "math_inline":
        return f'<span class="math math-inline">{escapeHtml(token.content)}</span>'
    return _math_block(token.content)


def _math_block(source: str) -> str:
    return f'<div class="math math-block">{escapeHtml(source.strip())}</div>\n'


def render_html(html: str, base_url_for_links: str = "") -> str:
    """Foreign HTML through the same allow-list, without anything it would fetch: only pictures that
    are part of it stay. Empty if nothing readable is left."""
    if _is_too_deep(html):
        return ""
    clean = _sanitise(html, base_url_for_links, "", has_media=False)
    return clean if "<img" in clean or _TAG_TEXT.sub("", clean).strip() else ""


def _sanitise(
    html: str, link_base: str, image_base: str, id_prefix: str = ID_PREFIX, *, has_media: bool = True
) -> str:
    def filter_attribute(tag: str, name: str, value: str) -> str | None:
        if not has_media and name in ("src", "poster", "srcset"):
            return value if tag == "img" and _DATA_IMAGE.fullmatch(value) else None
        return filter_known(tag, name, value)

    def filter_known(tag: str, name: str, value: str) -> str | None:
        if name == "href":
            return _resolve(value, link_base, _LINK_SCHEMES, id_prefix)
        if name in ("src", "poster"):
            return _resolve(value, image_base, _MEDIA_SCHEMES)
        if name == "srcset":
            return _resolve_srcset(value, image_base)
        if tag == "input" and name == "type":
            return "checkbox"
        return value

    return nh3.clean(
        html,
        tags=ALLOWED_TAGS,
        clean_content_tags={"script", "style", "title", "textarea", "iframe", "noscript", "template"},
        attributes=ALLOWED_ATTRIBUTES,
        attribute_filter=filter_attribute,
        allowed_classes=ALLOWED_CLASSES,
        set_tag_attribute_values={
            "img": {"loading": "lazy", "decoding": "async"},
            "input": {"type": "checkbox", "disabled": "", "aria-label": "☐"},
            "video": {"controls": "", "preload": "none"},
            "audio": {"controls": "", "preload": "none"},
        },
        link_rel="nofollow noopener",
        url_schemes=_LINK_SCHEMES if has_media else _LINK_SCHEMES | {"data"},
        id_prefix=id_prefix,
        strip_comments=True,
    )


def _resolve(url: str, base: str, schemes: set[str], id_prefix: str = ID_PREFIX) -> str | None:
    """`url` made absolute on this site, a foreign address as it is, None if not allowed."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        if parts.scheme:
            return url if parts.scheme.lower() in schemes else None
        if url.startswith("#"):
            return "#" + (url[1:] if url[1:].startswith(id_prefix) else id_prefix + url[1:])
        return urljoin(base, url) if base else url
    except ValueError:
        return None


def _resolve_srcset(value: str, base: str) -> str | None:
    candidates = []
    for candidate in value.split(","):
        url, _, size = candidate.strip().partition(" ")
        resolved = _resolve(url, base, _MEDIA_SCHEMES) if url else None
        if resolved:
            candidates.append(f"{resolved} {size}".strip())
    return ", ".join(candidates) or None
