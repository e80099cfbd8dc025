"""`python -m llmos.infra.i18n.extract`: collect messages, update the catalogues, list the gaps.

Run it after adding text to a template or to `lazy()`; then fill the empty `msgstr` in
`locales/zh/LC_MESSAGES/llmos.po`. With `--check` nothing is written. Exits 1 if Chinese lacks
a translation.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import write_po

from llmos.infra.i18n.catalogs import DOMAIN, LOCALES, Locale, po_path, read_catalog

SOURCE_DIR = Path(__file__).parents[2]
KEYWORDS = DEFAULT_KEYWORDS | {"lazy": None, "N_": None}
_HEADER = "# LLMOS, messages of one language. Updated by llmos.infra.i18n.extract.\n#"


def extract_template(source_dir: Path = SOURCE_DIR) -> Catalog:
    """Every message of the Python files and templates below `source_dir`."""
    with (Path(__file__).parent / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call]
    template = Catalog(domain=DOMAIN, project="LLMOS", charset="utf-8", fuzzy=False)
    found = extract_from_dir(source_dir, methods, options, keywords=KEYWORDS, strip_comment_tags=True)
    for filename, _line, message, comments, context in found:
        template.add(message, locations=[(filename, 0)], auto_comments=comments, context=context)
    return template


def list_gaps(catalog: Catalog, template: Catalog) -> list[str]:
    """Messages of `template` that `catalog` does not say, or only guesses (fuzzy)."""
    gaps = []
    for message in _messages(template):
        known = catalog.get(message.id, message.context)
        if known is None or known.fuzzy or not _is_filled(known):
            gaps.append(_key(message))
    return gaps


def update_catalog(locale: Locale, template: Catalog) -> Catalog:
    """The stored catalogue brought up to date with `template`: new added, unused dropped."""
    catalog = read_catalog(locale)
    catalog.update(template, no_fuzzy_matching=True)
    catalog.obsolete.clear()
    return catalog


def render_po(catalog: Catalog) -> bytes:
    """Stable text: sorted by message, no line numbers, no dates, so that merges stay small."""
    lines = [
        _HEADER,
        'msgid ""',
        'msgstr ""',
        f'"Language: {catalog.locale}\\n"',
        '"Content-Type: text/plain; charset=utf-8\\n"',
        '"Content-Transfer-Encoding: 8bit\\n"',
        f'"Plural-Forms: {catalog.plural_forms}\\n"',
    ]
    body = BytesIO()
    write_po(body, catalog, width=100, sort_output=True, omit_header=True, include_lineno=False)
    return ("\n".join(lines) + "\n\n").encode() + body.getvalue().strip() + b"\n"


def _messages(catalog: Catalog) -> Iterable[Message]:
    return (message for message in catalog if message.id)


def _is_filled(message: Message) -> bool:
    if isinstance(message.string, str):
        return bool(message.string)
    return bool(message.string) and all(message.string or ())


def _key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else str(message.id[0])


def main(arguments: list[str]) -> int:
    template = extract_template()
    gaps: list[str] = []
    for locale in LOCALES:
        catalog = update_catalog(locale, template)
        if "--check" not in arguments:
            path = po_path(locale)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(render_po(catalog))
        if locale != "en":
            gaps += [f"{locale}: {gap}" for gap in list_gaps(catalog, template)]
    print(f"{len(list(_messages(template)))} messages, {len(gaps)} without translation")
    for gap in gaps:
        print(f"  {gap}")
    return 1 if gaps else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
