"""The way to the queue in the menu of those who keep order."""

from __future__ import annotations

from llmos.features.accounts.actor import Actor
from llmos.features.moderation.pages.common import QUEUE
from llmos.features.moderation.standing import is_moderator
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.ui.render import MenuLink


def queue_link(rt: Runtime, actor: Actor) -> MenuLink | None:
    """Moderators of the site only. At most one query, of one row by its key."""
    if not actor.is_admin:
        with rt.database.reading() as db:
            if not is_moderator(db, actor):
                return None
    return MenuLink(lazy("Moderation"), QUEUE, "gavel")
