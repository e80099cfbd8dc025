"""Topics that may answer a question already: found by the words of a title while it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from llmos.features.discussions.models import TOPIC, Comment, Thread
from llmos.infra.search.index import search
from llmos.infra.search.tables import SearchPost
from llmos.infra.search.words import query_words

MAX_WORDS = 6
_HITS_PER_WORD = 60
_COMMON = frozenset(
    "a an and are as at be can do does for from has have how i in is it my not of on or please problem "
    "question that the this to use using was what when where which why with you".split()
)


def list_similar_topics(db: Session, title: str, *, limit: int = 5) -> Sequence[Thread]:
    """Topics whose titles share words with this one; a rare word counts for more than a common one.

    At most one query a word and one for the rows. Nothing for a title of common words alone.
    """
    words = [
        word for word in dict.fromkeys(query_words(title[:250])) if len(word) > 1 and word not in _COMMON
    ]
    # Long words say most; of a text without spaces any pairs do.
    words = sorted(words, key=len, reverse=True)[:MAX_WORDS]
    scores: Counter[str] = Counter()
    for word in words:
        hits = search(db, word, kinds=[TOPIC], limit=_HITS_PER_WORD, in_title=True, shelf=SearchPost)
        for hit in hits:
            scores[hit.doc_key] += 1000 + 1000 // len(hits)
    # One shared word of many is chance.
    least = 1001 if len(words) < 3 else 2001
    best = [key for key, score in scores.most_common(limit * 2) if score >= least]
    ids = [int(key.removeprefix("comment:")) for key in best]
    if not ids:
        return []
    rows = db.execute(
        select(Comment.id, Thread)
        .join(Thread, Thread.first_comment_id == Comment.id)
        .where(Comment.id.in_(ids), Thread.kind == TOPIC, Thread.hidden_at.is_(None))
        .options(joinedload(Thread.category))
    ).unique()
    found = dict(rows.all())
    return [found[comment_id] for comment_id in ids if comment_id in found][:limit]
