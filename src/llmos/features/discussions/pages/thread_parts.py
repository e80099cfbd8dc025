"""Comments and events of a thread as its page shows them; repositories and the forum share this.

A page reads a `Window`, turns it into items with `thread_items`, and draws each with the macros of
`discussions/_comment.html`. The actions of a comment are the pages of `comment_pages`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from markupsafe import Markup
from sqlalchemy.orm import Session

from llmos.features.accounts.actor import Actor
from llmos.features.accounts.avatars import avatar_url
from llmos.features.accounts.models import User
from llmos.features.auth.texts import render_text, text_references
from llmos.features.discussions import events
from llmos.features.discussions.comments import EMOJI
from llmos.features.discussions.models import CLOSED, MERGED, Comment, Thread, ThreadEvent
from llmos.features.discussions.pages.window import Gap, Window, is_whole
from llmos.features.discussions.policy import can_edit, can_moderate
from llmos.features.discussions.queries import ReactionCount, count_reactions
from llmos.features.discussions.texts import HIDDEN_REASONS
from llmos.infra.i18n import Locale, translator
from llmos.ui.filters import path_segment, with_query
from llmos.ui.markdown import References, Rendered
from llmos.ui.views import Badge, CommentView, Person, Reaction


@dataclass(frozen=True, slots=True)
class Spot:
    """A thread, where its pages lie, and the path its texts are read in.

    `href` is `/ada/tiny-llm/discussions/12` or `/forum/12`; `context` the repository's path, or
    empty. `layout` is the template its small pages extend, `shell` what that needs.
    """

    thread: Thread
    href: str
    context: str = ""
    layout: str = "base.html"
    shell: Callable[[Locale], Mapping[str, Any]] = lambda _locale: {}

    def comment_href(self, comment: Comment) -> str:
        """The permalink of a comment: an anchor where one page shows the whole thread."""
        return self.permalink(comment.public_id)

    def permalink(self, public_id: str) -> str:
        if is_whole(self.thread):
            return f"{self.href}#comment-{public_id}"
        return f"{self.href}/comments/{public_id}"


@dataclass(frozen=True, slots=True)
class LinePart:
    """The place a line comment speaks of, and its lines where they can be read."""

    path: str
    first: int
    last: int
    side: str
    is_resolved: bool
    lines: Sequence[tuple[int, str]] = ()
    href: str = ""


@dataclass(frozen=True, slots=True)
class CommentItem:
    """A comment and what its reader may do with it; `base` begins the addresses of the actions.

    `unfolded` is the text of a hidden comment for those who may still read it. `suggestion` says
    that it offers lines, `can_apply` that the reader may commit them.
    """

    view: CommentView
    base: str
    can_edit: bool = False
    can_hide: bool = False
    can_accept: bool = False
    can_resolve: bool = False
    can_apply: bool = False
    report_href: str | None = None
    unfolded: Rendered | None = None
    line: LinePart | None = None
    is_blank: bool = False
    kind: Literal["comment"] = "comment"


@dataclass(frozen=True, slots=True)
class EventItem:
    """`name` is a kind of `events`; `commits` are neighbouring commits of one person, `href` leads to
    the comment it names."""

    name: str
    person: Person | None
    at: datetime
    data: Mapping[str, Any]
    commits: Sequence[Mapping[str, Any]] = ()
    href: str = ""
    kind: Literal["event"] = "event"


@dataclass(frozen=True, slots=True)
class GapItem:
    href: str
    count: int
    kind: Literal["gap"] = "gap"


Item = CommentItem | EventItem | GapItem


@dataclass(slots=True)
class Reading:
    """What one page knows of its reader and of all its comments, looked up once."""

    actor: Actor
    is_keeper: bool
    may_write: bool
    references: References
    reactions: Mapping[int, list[ReactionCount]]
    answer_id: int | None = None
    lines: Mapping[int, LinePart] = field(default_factory=dict)
    appliable: frozenset[int] = frozenset()


def person_of(user: User | None) -> Person | None:
    """Somebody as an author; None for a deleted account."""
    if user is None:
        return None
    space = user.namespace
    return Person(space.name, f"/{path_segment(space.name)}", space.fullname or "", avatar_url(space))


def start_reading(
    db: Session,
    actor: Actor,
    spot: Spot,
    comments: Sequence[Comment],
    *,
    lines: Mapping[int, LinePart] | None = None,
    appliable: frozenset[int] = frozenset(),
) -> Reading:
    """Look up people, reactions and powers for the comments of a page: two queries at most."""
    thread = spot.thread
    is_keeper = can_moderate(db, actor, thread)
    names = {comment.author.name for comment in comments if comment.author is not None}
    return Reading(
        actor=actor,
        is_keeper=is_keeper,
        may_write=actor.user_id is not None and (is_keeper or not thread.is_locked),
        references=text_references(db, [comment.text for comment in comments], spot.context, names),
        reactions=count_reactions(db, actor, comments),
        answer_id=thread.answer_id,
        lines=lines or {},
        appliable=appliable,
    )


def thread_items(
    db: Session, reading: Reading, spot: Spot, window: Window, locale: Locale, *, gap_href: str = ""
) -> list[Item]:
    """The entries of a window in order; neighbouring commits of one person become one item."""
    items: list[Item] = []
    for entry in window.entries:
        if isinstance(entry, Comment):
            items.append(comment_item(db, reading, spot, entry, locale))
        elif isinstance(entry, Gap):
            query = {"after": entry.after, "until": entry.until or None}
            items.append(GapItem(with_query(gap_href or spot.href, query), entry.count))
        else:
            _add_event(items, spot, entry)
    return items


def comment_item(db: Session, reading: Reading, spot: Spot, comment: Comment, locale: Locale) -> CommentItem:
    """One comment, with its text rendered unless the reader may not see it."""
    thread, actor = spot.thread, reading.actor
    is_author = comment.author_id is not None and comment.author_id == actor.user_id
    is_first = comment.id == thread.first_comment_id
    rendered = None
    is_blank = not comment.text.strip()
    if not is_blank and (not comment.is_hidden or is_author or reading.is_keeper):
        rendered = render_text(
            db, comment.text, spot.context, scope=comment.public_id, references=reading.references
        )
    may_act = reading.may_write and not comment.is_hidden
    base = f"{spot.href}/comments/{comment.public_id}"
    can_accept = not thread.is_pull_request and not is_first and may_act
    is_owner = actor.user_id is not None and thread.author_id == actor.user_id
    line = reading.lines.get(comment.id)
    return CommentItem(
        view=_view(reading, spot, comment, None if comment.is_hidden else rendered, locale),
        base=base,
        can_edit=may_act and can_edit(db, actor, thread, comment),
        can_hide=may_act and (is_author or reading.is_keeper),
        can_accept=can_accept and (is_owner or reading.is_keeper),
        can_resolve=bool(line) and may_act and (is_owner or is_author or reading.is_keeper),
        can_apply=comment.id in reading.appliable and may_act,
        report_href=None
        if is_author or actor.user_id is None
        else with_query("/-/report", {"kind": "comment", "key": comment.public_id}),
        unfolded=rendered if comment.is_hidden else None,
        line=line,
        is_blank=is_blank and not comment.is_hidden,
    )


def _view(
    reading: Reading, spot: Spot, comment: Comment, body: Rendered | None, locale: Locale
) -> CommentView:
    base = f"{spot.href}/comments/{comment.public_id}"
    return CommentView(
        id=comment.public_id,
        author=person_of(comment.author),
        at=comment.created_at,
        href=spot.comment_href(comment),
        body=body,
        source=comment.text if body is not None and reading.may_write else "",
        badges=_badges(spot.thread, comment, locale),
        edited_at=comment.edited_at,
        edits_href=f"{base}/history" if comment.edit_count and not comment.is_hidden else None,
        reactions=[Reaction(count.emoji, count.count, count.is_mine) for count in _counts(reading, comment)],
        react_href=f"{base}/react" if reading.may_write and not comment.is_hidden else None,
        is_answer=comment.id == reading.answer_id,
        is_hidden=comment.is_hidden,
        hidden_reason=HIDDEN_REASONS.get(comment.hidden_reason, comment.hidden_reason),
    )


def _counts(reading: Reading, comment: Comment) -> Sequence[ReactionCount]:
    return [] if comment.is_hidden else reading.reactions.get(comment.id, [])


def _badges(thread: Thread, comment: Comment, locale: Locale) -> list[Badge]:
    _ = translator(locale).gettext
    found: list[Badge] = []
    if comment.author_id is None:
        return found
    if thread.repo is not None and comment.author_id == thread.repo.namespace_id:
        found.append(Badge(_("Owner"), "accent"))
    if comment.author_id == thread.author_id and comment.id != thread.first_comment_id:
        found.append(Badge(_("Author")))
    return found


def _add_event(items: list[Item], spot: Spot, event: ThreadEvent) -> None:
    person = person_of(event.actor)
    if event.kind != events.COMMIT:
        comment_id = event.data.get("comment_id")
        href = spot.permalink(comment_id) if comment_id else ""
        items.append(EventItem(event.kind, person, event.created_at, event.data, href=href))
        return
    before = items[-1] if items else None
    commits: Sequence[Mapping[str, Any]] = (event.data,)
    if isinstance(before, EventItem) and before.name == events.COMMIT and before.person == person:
        items.pop()
        commits = (*before.commits, event.data)
    items.append(EventItem(event.kind, person, event.created_at, event.data, commits))


def has_maths(items: Sequence[Item]) -> bool:
    """Whether the page needs the files of KaTeX."""
    texts = [item.view.body or item.unfolded for item in items if isinstance(item, CommentItem)]
    return any(text.has_math for text in texts if text is not None)


def emojis(reading: Reading) -> Sequence[str]:
    """The reactions to choose from."""
    return EMOJI if reading.may_write else ()


def is_over(thread: Thread) -> bool:
    return thread.status in (CLOSED, MERGED)


def code_lines(lines: Sequence[tuple[int, str]]) -> Markup:
    """Lines of code with their numbers, as rows of a table."""
    row = Markup('<tr><td class="code-number">{}</td><td class="code-line">{}</td></tr>')
    return Markup("").join(row.format(number, text) for number, text in lines)
