"""Pages of discussions and pull requests of repositories; `thread_parts` and `comment_pages` are
shared with the forum.

Addresses begin with the repository's: `/ada/tiny-llm/discussions`, `…/discussions/12/files`.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from llmos.ui.render import register_templates

register_templates(Path(__file__).parents[1] / "templates")


def add_discussion_pages(app: FastAPI) -> None:
    """Give every repository its Community tab and the pages behind it; before the repository pages."""
    from llmos.features.discussions.pages import router

    router.add_to_repositories()
