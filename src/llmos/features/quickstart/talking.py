"""The discussion a run opens on its model: what it is, what it scored, a question to start from."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor
from llmos.features.discussions.threads import open_thread
from llmos.features.evals.models import EvalResult
from llmos.features.quickstart.models import QuickstartRun
from llmos.features.repos.models import Repo
from llmos.infra.i18n import Locale, lazy, localize

_TITLE = lazy("My first model: what should I try next?")
_SCORES = lazy("What it scored:")
_WROTE = lazy("What it wrote:")
_END = lazy("What would you change first: more text, more minutes, or another size?")


def open_discussion(
    db: Session, actor: Actor, repo: Repo, run: QuickstartRun, shown: Sequence[EvalResult]
) -> int:
    """Open it in the name of whose run it is, in the language they began it in; its number."""
    locale: Locale = "zh" if run.options.get("locale") == "zh" else "en"
    title, text = localize(_TITLE, locale), discussion_text(run, shown, locale)
    thread = open_thread(db, actor, db.merge(repo, load=False), title, text)
    return int(thread.num or 0)


def discussion_text(run: QuickstartRun, shown: Sequence[EvalResult], locale: Locale) -> str:
    begin = lazy(
        "I have trained this model with the quick start, for %(minutes)s minutes.",
        minutes=f"{run.options['max_minutes']:g}",
    )
    parts = [localize(begin, locale)]
    if shown:
        lines = [
            f"- [{one.dataset_key}](/datasets/{one.dataset_key}/leaderboard): {score(one)}" for one in shown
        ]
        parts += [localize(_SCORES, locale), "\n".join(lines)]
    answers = run.found.get("answers") or []
    if answers:
        quoted = "\n\n".join("\n".join(f"> {line}" for line in _said(one)) for one in answers)
        parts += [localize(_WROTE, locale), quoted]
    return "\n\n".join([*parts, localize(_END, locale)])


def _said(answer: dict[str, str]) -> list[str]:
    """What was asked in bold, and what came after it; nothing of it may be markup."""
    whole = f"**{_plain(answer['asked'])}** {_plain(answer['text'])}"
    return whole.splitlines() or [""]


def _plain(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>()#+-.!|~@$:&" else char for char in text)


def score(result: EvalResult) -> str:
    """`bits_per_byte 2.31 [2.20, 2.43], n = 14`."""
    text = f"{result.metric} {result.value:.3g}"
    if result.low is not None and result.high is not None:
        text += f" [{result.low:.3g}, {result.high:.3g}]"
    return text + (f", n = {result.n}" if result.n else "")
