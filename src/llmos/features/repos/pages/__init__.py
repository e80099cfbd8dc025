"""The web pages of repositories: home, lists, search, profiles, and everything below one repository.

`routes.RepoRoutes` gives an address to all four types at once, `frame` holds what every page of a
repository shows, `views` turns rows into the design system's values.
"""

from pathlib import Path

from llmos.ui.render import register_templates

register_templates(Path(__file__).parents[1] / "templates")
