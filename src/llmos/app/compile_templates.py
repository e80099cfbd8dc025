"""`python -m llmos.app.compile_templates`: part of `make setup`, so that the first start is quick.

Everything is made that a start keeps for the next one: templates, catalogues, packed styles, examples.
"""

from __future__ import annotations

from llmos.app import asgi
from llmos.features.repos.pages.connect import connect_snippets
from llmos.infra.i18n import LOCALES, translator
from llmos.ui.render import environment
from llmos.ui.static_files import manifest


def main() -> None:
    assert asgi.build_api()  # features name their folders when their pages are imported
    templates = environment("en")
    for name in templates.list_templates(extensions=["html"]):
        templates.get_template(name)
    assert manifest()
    for locale in LOCALES:
        translator(locale)
    for snippet in connect_snippets("http://localhost"):
        assert snippet.highlighted


if __name__ == "__main__":
    main()
