"""The index: put documents in, take them out, ask for keys in order of relevance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from llmos.infra.search.tables import FTS_TABLE, SearchDocument
from llmos.infra.search.words import index_words, is_prefix_word, query_words

TITLE_WEIGHT = 10.0


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that matches; `score` grows with relevance and compares within one query only."""

    doc_key: str
    kind: str
    title: str
    score: float


def _is_sqlite(db: Session) -> bool:
    return db.get_bind().dialect.name == "sqlite"


def index_document(db: Session, doc_key: str, kind: str, title: str, body: str) -> None:
    """Add a document or replace the one with the same key, in the caller's transaction."""
    document = db.scalar(select(SearchDocument).where(SearchDocument.doc_key == doc_key))
    if document is None:
        document = SearchDocument(doc_key=doc_key)
        db.add(document)
    document.kind, document.title = kind, title[:300]
    db.flush()
    words = {"id": document.id, "title": " ".join(index_words(title)), "body": " ".join(index_words(body))}
    if _is_sqlite(db):
        db.execute(text(f"DELETE FROM {FTS_TABLE} WHERE rowid = :id"), words)
        db.execute(text(f"INSERT INTO {FTS_TABLE}(rowid, title, body) VALUES (:id, :title, :body)"), words)
        return
    db.execute(
        text(
            "UPDATE search_documents SET vector = setweight(to_tsvector('simple', :title), 'A') || "
            "setweight(to_tsvector('simple', :body), 'D') WHERE id = :id"
        ),
        words,
    )


def remove_document(db: Session, doc_key: str) -> None:
    """Take a document out; quietly when it is not there."""
    found = db.scalar(select(SearchDocument.id).where(SearchDocument.doc_key == doc_key))
    if found is None:
        return
    if _is_sqlite(db):
        db.execute(text(f"DELETE FROM {FTS_TABLE} WHERE rowid = :id"), {"id": found})
    db.execute(delete(SearchDocument).where(SearchDocument.id == found))


def search(
    db: Session, query: str, *, kinds: Sequence[str] = (), limit: int = 50, in_title: bool = False
) -> list[Hit]:
    """The documents that hold every word of `query`, best first; the last word may be a beginning.

    `kinds` empty means all kinds; `in_title` looks at titles only. An empty query finds nothing.
    """
    words = query_words(query)
    if not words:
        return []
    if _is_sqlite(db):
        return _search_sqlite(db, words, kinds, limit, in_title)
    return _search_postgres(db, words, kinds, limit, in_title)


def suggest(db: Session, beginning: str, *, kinds: Sequence[str] = (), limit: int = 8) -> list[Hit]:
    """Documents whose title holds the words typed so far."""
    return search(db, beginning, kinds=kinds, limit=limit, in_title=True)


def _search_sqlite(
    db: Session, words: list[str], kinds: Sequence[str], limit: int, in_title: bool
) -> list[Hit]:
    # Words hold letters and digits only, so quoting them is enough.
    terms = [f'"{word}"' for word in words]
    if is_prefix_word(words[-1]):
        terms[-1] += "*"
    match = " AND ".join(terms)
    if in_title:
        match = f"title : ({match})"
    where, values = _kind_clause(kinds)
    rows = db.execute(
        text(
            f"SELECT d.doc_key, d.kind, d.title, -bm25({FTS_TABLE}, {TITLE_WEIGHT}, 1.0) AS score "
            f"FROM {FTS_TABLE} JOIN search_documents d ON d.id = {FTS_TABLE}.rowid "
            f"WHERE {FTS_TABLE} MATCH :match {where} ORDER BY score DESC, d.id LIMIT :limit"
        ),
        {"match": match, "limit": limit, **values},
    )
    return [Hit(*row) for row in rows]


def _search_postgres(
    db: Session, words: list[str], kinds: Sequence[str], limit: int, in_title: bool
) -> list[Hit]:
    marks = [":A" if in_title else "" for _ in words]
    if is_prefix_word(words[-1]):
        marks[-1] = ":*A" if in_title else ":*"
    query = " & ".join(f"'{word}'{mark}" for word, mark in zip(words, marks, strict=True))
    where, values = _kind_clause(kinds)
    rows = db.execute(
        text(
            "SELECT d.doc_key, d.kind, d.title, "
            "ts_rank_cd('{0.1, 0.2, 0.4, 1.0}', d.vector, to_tsquery('simple', :query)) AS score "
            "FROM search_documents d WHERE d.vector @@ to_tsquery('simple', :query) "
            f"{where} ORDER BY score DESC, d.id LIMIT :limit"
        ),
        {"query": query, "limit": limit, **values},
    )
    return [Hit(*row) for row in rows]


def _kind_clause(kinds: Sequence[str]) -> tuple[str, dict[str, str]]:
    if not kinds:
        return "", {}
    names = [f"kind{i}" for i in range(len(kinds))]
    listed = ", ".join(f":{name}" for name in names)
    return f"AND d.kind IN ({listed})", dict(zip(names, kinds, strict=True))


def count_documents(db: Session) -> int:
    return db.scalar(select(func.count()).select_from(SearchDocument)) or 0
