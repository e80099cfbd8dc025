"""The words of moderation: kinds of things, measures, levels of the queue, and its news."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from llmos.features.moderation.subjects import COLLECTION, COMMENT, REPO, THREAD, USER
from llmos.features.notifications import wording
from llmos.infra.i18n import LazyString, lazy

# What the weight of reports does carries this word in place of a reason.
BY_REPORTS: Final = "reported"

KIND_LABELS: Final = {
    COMMENT: lazy("Comment"),
    THREAD: lazy("Thread"),
    REPO: lazy("Repository"),
    USER: lazy("Person"),
    COLLECTION: lazy("Collection"),
}
KIND_ICONS: Final = {
    COMMENT: "message-square",
    THREAD: "message-circle",
    REPO: "box",
    USER: "user",
    COLLECTION: "layers",
}


class Verb(NamedTuple):
    """How a measure is told to moderators, and to the person it was taken against."""

    label: LazyString
    told: LazyString
    icon: str
    tone: Literal["neutral", "success", "warning", "danger"]


VERBS: Final = {
    "hide": Verb(lazy("Hidden"), lazy("What you wrote was hidden"), "eye-off", "warning"),
    "show": Verb(lazy("Shown again"), lazy("What you wrote is in sight again"), "eye", "success"),
    "lock": Verb(lazy("Locked"), lazy("Your thread was locked"), "lock", "warning"),
    "unlock": Verb(lazy("Unlocked"), lazy("Your thread is open for replies again"), "lock-open", "success"),
    "move": Verb(lazy("Moved"), lazy("Your topic was put into another category"), "folder", "neutral"),
    "split": Verb(lazy("Split"), lazy("Replies in your thread became their own"), "git-branch", "neutral"),
    "merge": Verb(lazy("Merged"), lazy("Your thread was merged into another one"), "git-merge", "neutral"),
    "warn": Verb(lazy("Warned"), lazy("You were warned"), "triangle-alert", "warning"),
    "suspend": Verb(lazy("Suspended"), lazy("Your account is suspended"), "clock", "danger"),
    "ban": Verb(lazy("Banned"), lazy("Your account is banned"), "ban", "danger"),
}
# Nobody needs to appeal against these.
FAVOURS: Final = ("show", "unlock")

_NEWS: Final = {
    "moderation.case": (lazy("Something was reported"), "flag"),
    "moderation.waiting": (lazy("A report has waited for two days"), "clock"),
    "moderation.upheld": (lazy("Your report was right: thank you"), "circle-check"),
    "moderation.rejected": (lazy("Your report was looked at; nothing was changed"), "flag"),
    "moderation.appeal": (lazy("Somebody appeals against a measure"), "scale"),
    "moderation.appeal-upheld": (lazy("Your appeal was upheld: the measure is undone"), "circle-check"),
    "moderation.appeal-rejected": (lazy("Your appeal was rejected"), "scale"),
} | {f"moderation.{verb}": (words.told, words.icon) for verb, words in VERBS.items()}
wording.SENTENCES.update({kind: words for kind, (words, _icon) in _NEWS.items()})
wording.ICONS.update({kind: icon for kind, (_words, icon) in _NEWS.items()})
