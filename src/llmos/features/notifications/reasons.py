"""Why somebody is told: the reasons, their words, and what of them goes to mail by default."""

from __future__ import annotations

from typing import Final

from llmos.infra.i18n import lazy

MENTION: Final = "mention"
AUTHOR: Final = "author"
REPLY: Final = "reply"
ANSWER: Final = "answer"
WATCHING: Final = "watching"
FOLLOW: Final = "follow"
ACCESS: Final = "access"
MODERATION: Final = "moderation"
WEBHOOK: Final = "webhook"
JOB: Final = "job"

# Label, and the sentence under it in the settings.
LABELS = {
    MENTION: (lazy("Mentions"), lazy("Somebody wrote your name, or that of an organisation of yours.")),
    AUTHOR: (lazy("Your threads"), lazy("News in threads you opened.")),
    REPLY: (lazy("Threads you take part in"), lazy("News in threads where you wrote something.")),
    ANSWER: (lazy("Accepted answers"), lazy("Your answer solved a question.")),
    WATCHING: (lazy("What you watch"), lazy("Threads of repositories you own or watch.")),
    FOLLOW: (lazy("People"), lazy("Somebody follows you, or those you follow publish something.")),
    ACCESS: (lazy("Access requests"), lazy("Requests to your gated repositories, and answers to yours.")),
    MODERATION: (lazy("Moderation"), lazy("Decisions about what you wrote or reported.")),
    WEBHOOK: (lazy("Webhooks"), lazy("A webhook of yours was switched off after failing for a day.")),
    JOB: (lazy("Jobs"), lazy("A training of yours, or a job that took long, has ended.")),
}
REASONS = tuple(LABELS)

NOW: Final = "now"
DAILY: Final = "daily"
WEEKLY: Final = "weekly"
NEVER: Final = "never"
MODES = {
    NOW: lazy("At once"),
    DAILY: lazy("In a daily digest"),
    WEEKLY: lazy("In a weekly digest"),
    NEVER: lazy("No mail"),
}
DEFAULT_MAIL = dict.fromkeys(REASONS, NOW) | {WATCHING: DAILY, FOLLOW: WEEKLY, JOB: DAILY}


def mail_modes(chosen: dict[str, str] | None) -> dict[str, str]:
    """For each reason when its mail goes: the person's choices over the defaults."""
    known = {key: value for key, value in (chosen or {}).items() if key in LABELS and value in MODES}
    return DEFAULT_MAIL | known
