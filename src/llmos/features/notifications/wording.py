"""What a notification says, in the reader's language."""

from __future__ import annotations

from typing import Final

from llmos.features.notifications.models import Notification
from llmos.infra.i18n import Locale, lazy, localize

SOMEBODY: Final = lazy("Somebody")
SENTENCES: Final = {
    "opened.discussion": lazy("%(actor)s opened a discussion"),
    "opened.pull_request": lazy("%(actor)s opened a pull request"),
    "opened.topic": lazy("%(actor)s opened a topic"),
    "comment": lazy("%(actor)s commented"),
    "status.open": lazy("%(actor)s opened it again"),
    "status.closed": lazy("%(actor)s closed it"),
    "status.draft": lazy("%(actor)s made it a draft"),
    "status.merged": lazy("%(actor)s merged it"),
    "review.approve": lazy("%(actor)s approved the changes"),
    "review.request_changes": lazy("%(actor)s asked for changes"),
    "review.comment": lazy("%(actor)s reviewed the changes"),
    "answer": lazy("%(actor)s accepted an answer"),
    "followed": lazy("%(actor)s follows you now"),
    "repo.model": lazy("%(actor)s published a model"),
    "repo.dataset": lazy("%(actor)s published a data set"),
    "repo.space": lazy("%(actor)s published a Space"),
    "repo.kernel": lazy("%(actor)s published a tool"),
    "access.asked": lazy("%(actor)s asks for access"),
    "access.accepted": lazy("You have access now"),
    "access.rejected": lazy("Your request for access was rejected"),
    "webhook.off": lazy("A webhook was switched off: it failed for a day"),
    "webhook.full": lazy("A webhook was switched off: too many messages waited for it"),
    "job.succeeded": lazy("A job of yours has succeeded"),
    "job.failed": lazy("A job of yours has failed"),
    "moderation": lazy("A moderator decided"),
}
MENTIONED: Final = lazy("%(actor)s mentioned you")
ICONS: Final = {
    "opened.discussion": "message-square",
    "opened.pull_request": "git-pull-request",
    "opened.topic": "message-circle",
    "comment": "message-square",
    "status.open": "circle-dot",
    "status.closed": "circle-check",
    "status.draft": "git-pull-request-draft",
    "status.merged": "git-merge",
    "review.approve": "check",
    "review.request_changes": "file-code",
    "review.comment": "eye",
    "answer": "lightbulb",
    "followed": "user-plus",
    "repo.model": "box",
    "repo.dataset": "database",
    "repo.space": "app-window",
    "repo.kernel": "wrench",
    "access.asked": "key-round",
    "access.accepted": "lock-open",
    "access.rejected": "lock",
    "webhook.off": "webhook",
    "webhook.full": "webhook",
    "job.succeeded": "circle-check",
    "job.failed": "circle-x",
    "moderation": "gavel",
}


def sentence(notification: Notification, locale: Locale) -> str:
    """`grace mentioned you`: who did what; the title of the thing is not in it."""
    name = notification.actor.name if notification.actor else None
    return sentence_of(notification.kind, notification.reason, name, locale)


def sentence_of(kind: str, reason: str, actor_name: str | None, locale: Locale) -> str:
    """`sentence` of its parts; no name: somebody."""
    actor = actor_name or localize(SOMEBODY, locale)
    is_mention = reason == "mention" and kind.startswith(("opened", "comment"))
    known = MENTIONED if is_mention else SENTENCES.get(kind, SENTENCES["moderation"])
    return localize(lazy(known.message, actor=actor) if "%(" in known.message else known, locale)


def icon_of(notification: Notification) -> str:
    return "at-sign" if notification.reason == "mention" else ICONS.get(notification.kind, "bell")


def title_of(notification: Notification) -> str:
    """The thing's present title: threads are renamed and repositories move."""
    if notification.thread is not None:
        return notification.thread.title
    if notification.repo is not None:
        return notification.repo.repo_name
    return notification.title
