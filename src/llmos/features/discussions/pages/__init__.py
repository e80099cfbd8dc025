"""Pages of discussions and pull requests of repositories; `thread_parts` and `comment_pages` are
shared with the forum.

Addresses begin with the repository's: `/ada/tiny-llm/discussions`, `…/discussions/12/files`.
"""

from __future__ import annotations

from pathlib import Path

from llmos.ui.render import register_templates
from llmos.ui.static_files import register_static

register_templates(Path(__file__).parents[1] / "templates")
register_static(Path(__file__).parents[1] / "static")


def add_discussion_pages() -> None:
    """Give every repository its Community tab and the pages behind it; before the repository pages."""
    from llmos.features.discussions.pages.router import add_to_repositories

    add_to_repositories()
