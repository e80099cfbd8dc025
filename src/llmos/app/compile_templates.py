"""`python -m llmos.app.compile_templates`: part of `make setup`, so that the first start is quick."""

from __future__ import annotations

from llmos.app import asgi
from llmos.ui.render import environment


def main() -> None:
    assert asgi.build_api()  # features name their folders when their pages are imported
    templates = environment("en")
    for name in templates.list_templates(extensions=["html"]):
        templates.get_template(name)


if __name__ == "__main__":
    main()
