"""Posts of a topic: their addresses, and its poll."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from llmos.features.discussions.forum_models import Poll
from llmos.features.discussions.forum_pages.hrefs import post_href
from llmos.features.discussions.forum_polls import is_closed, shows_votes
from llmos.features.discussions.models import Comment, Thread
from llmos.features.discussions.pages.thread_parts import CommentItem, Spot, person_of
from llmos.features.discussions.pages.window import is_whole
from llmos.infra.i18n import Locale, localize
from llmos.ui.filters import with_query
from llmos.ui.views import Badge, PollOption
from llmos.ui.views import Poll as PollView


@dataclass(frozen=True, slots=True)
class TopicSpot(Spot):
    """A topic of the forum as the place of its posts."""

    def comment_href(self, comment: Comment) -> str:
        if is_whole(self.thread):
            return f"{self.href}#comment-{comment.public_id}"
        return post_href(self.thread, comment.public_id)


def dress(
    item: CommentItem,
    spot: TopicSpot,
    comment: Comment,
    badges: Mapping[int, str],
    parents: Mapping[int, Comment],
    locale: Locale,
    *,
    may_reply: bool,
) -> CommentItem:
    """What posts of the forum show beyond other comments: standing, whom they answer, a reply button."""
    own = list(item.view.badges)
    if label := badges.get(comment.author_id or 0):
        own.append(Badge(localize(label, locale), "info"))
    parent = parents.get(comment.reply_to_id or 0)
    is_first = comment.id == spot.thread.first_comment_id
    may_reply = may_reply and not comment.is_hidden and not is_first
    view = replace(
        item.view,
        badges=own,
        reply_to=person_of(parent.author) if parent is not None else None,
        reply_to_href=spot.comment_href(parent) if parent is not None else None,
        reply_href=f"{with_query(spot.href, {'reply': comment.public_id})}#reply" if may_reply else None,
    )
    return replace(item, view=view)


def view_poll(poll: Poll, thread: Thread, mine: Collection[int], href: str, *, may_vote: bool) -> PollView:
    """The poll as one person sees it, who chose the options `mine`."""
    is_over = is_closed(poll, thread)
    has_result = shows_votes(poll, thread, bool(mine))
    options = [
        PollOption(str(option.id), option.label, option.vote_count if has_result else 0, option.id in mine)
        for option in poll.options
    ]
    return PollView(
        question=poll.question,
        options=options,
        voter_count=poll.voter_count,
        action=f"{href}/poll" if may_vote and not is_over else None,
        is_multiple=poll.is_multiple,
        is_closed=is_over,
        closes_at=poll.closes_at,
        shows_votes=has_result,
    )
