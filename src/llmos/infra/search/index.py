"""The index: put documents in, take them out, ask for keys in order of relevance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Subquery, column, delete, func, select, text
from sqlalchemy.orm import Session

from llmos.infra.search.tables import SearchDocument, SearchPost, Shelf
from llmos.infra.search.words import index_words, is_prefix_word, query_words

TITLE_WEIGHT = 10.0
# So many of the newest posts that match are looked at: what a common word matches has no end.
MAX_RANKED = 500
# On SQLite posts are found newest first, those with the words in the title before the others:
# bm25 would count every post that holds a common word. More than any row id.
_TITLE_FIRST = 10**15
# Words of posts' titles are words of their own there: a column filter would read every post, too.
_TITLE_MARK = "ttl"

AnyShelf = type[SearchDocument] | type[SearchPost]
SHELVES: tuple[AnyShelf, ...] = (SearchDocument, SearchPost)


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that matches; `score` grows with relevance and compares within one query only."""

    doc_key: str
    kind: str
    title: str
    score: float


def _is_sqlite(db: Session | Connection) -> bool:
    return (db if isinstance(db, Connection) else db.get_bind()).dialect.name == "sqlite"


def index_document(
    db: Session,
    doc_key: str,
    kind: str,
    title: str,
    body: str,
    *,
    group_id: int | None = None,
    shelf: AnyShelf = SearchDocument,
) -> None:
    """Add a document or replace the one with the same key, in the caller's transaction."""
    document: Any = db.scalar(select(shelf).where(shelf.doc_key == doc_key))
    if document is None:
        document = shelf(doc_key=doc_key)
        db.add(document)
    document.kind, document.title, document.group_id = kind, title[:300], group_id
    db.flush()
    words = {"id": document.id, "title": " ".join(index_words(title)), "body": " ".join(index_words(body))}
    store_words(db, shelf, [words])


def store_words(db: Session | Connection, shelf: AnyShelf, rows: Sequence[dict[str, Any]]) -> None:
    """Put the words of documents that stand on the shelf into its index; `rows` have id, title and body."""
    table = shelf.words_table
    if _is_sqlite(db):
        if shelf is SearchPost:
            rows = [_with_marks(row) for row in rows]
        db.execute(text(f"DELETE FROM {table} WHERE rowid = :id"), rows)
        db.execute(text(f"INSERT INTO {table}(rowid, title, body) VALUES (:id, :title, :body)"), rows)
        return
    db.execute(
        text(
            f"UPDATE {shelf.__tablename__} SET vector = setweight(to_tsvector('simple', :title), 'A') || "
            "setweight(to_tsvector('simple', :body), 'D') WHERE id = :id"
        ),
        rows,
    )


def _with_marks(row: dict[str, Any]) -> dict[str, Any]:
    marked = " ".join(_TITLE_MARK + word for word in row["title"].split())
    return {"id": row["id"], "title": marked, "body": f"{row['title']} {row['body']}"}


def read_words(connection: Connection, shelf: AnyShelf) -> Iterator[dict[str, Any]]:
    """What `store_words` was given; of PostgreSQL in a similar order, each word where it stood first."""
    if _is_sqlite(connection):
        rows = connection.execute(text(f"SELECT rowid AS id, title, body FROM {shelf.words_table}"))
        for row in rows.mappings():
            yield _without_marks(dict(row)) if shelf is SearchPost else dict(row)
        return
    one = (
        "coalesce((SELECT string_agg(lexeme, ' ' ORDER BY positions[1]) FROM unnest(vector) "
        "WHERE weights[1] {} 'A'), '')"
    )
    statement = (
        f"SELECT id, {one.format('=')} AS title, {one.format('<>')} AS body FROM {shelf.__tablename__}"
    )
    yield from (dict(row) for row in connection.execute(text(statement)).mappings())


def _without_marks(row: dict[str, Any]) -> dict[str, Any]:
    words = [word.removeprefix(_TITLE_MARK) for word in row["title"].split()]
    body = row["body"].split(" ")[len(words) :] if words else [row["body"].removeprefix(" ")]
    return {"id": row["id"], "title": " ".join(words), "body": " ".join(body)}


def remove_document(db: Session, doc_key: str, *, shelf: AnyShelf = SearchDocument) -> None:
    """Take a document out; quietly when it is not there."""
    found = db.scalar(select(shelf.id).where(shelf.doc_key == doc_key))
    if found is not None:
        _remove(db, [found], shelf)


def remove_group(db: Session, group_id: int, *, shelf: AnyShelf) -> None:
    """Take out every document of a group."""
    _remove(db, list(db.scalars(select(shelf.id).where(shelf.group_id == group_id))), shelf)


def _remove(db: Session, ids: list[int], shelf: AnyShelf) -> None:
    if _is_sqlite(db) and ids:
        statement = text(f"DELETE FROM {shelf.words_table} WHERE rowid = :id")
        db.execute(statement, [{"id": found} for found in ids])
    db.execute(delete(shelf).where(shelf.id.in_(ids)))


def search(
    db: Session,
    query: str,
    *,
    kinds: Sequence[str] = (),
    limit: int = 50,
    in_title: bool = False,
    shelf: AnyShelf = SearchDocument,
    where: ColumnElement[bool] | None = None,
) -> list[Hit]:
    """The documents that hold every word of `query`, best first; the last word may be a beginning.

    `kinds` empty means all kinds; `in_title` looks at titles only; `where` is a condition on the
    shelf, as what the reader may see. An empty query finds nothing.
    """
    words = query_words(query)
    if not words:
        return []
    make = _matches_sqlite if _is_sqlite(db) else _matches_postgres
    statement = _ranked(make(words, in_title, shelf), shelf)
    if kinds:
        statement = statement.where(shelf.kind.in_(list(kinds)))
    if where is not None:
        statement = statement.where(where)
    return [Hit(*row) for row in db.execute(statement.limit(limit))]


def suggest(
    db: Session,
    beginning: str,
    *,
    kinds: Sequence[str] = (),
    limit: int = 8,
    shelf: AnyShelf = SearchDocument,
    where: ColumnElement[bool] | None = None,
) -> list[Hit]:
    """Documents whose title holds the words typed so far."""
    return search(db, beginning, kinds=kinds, limit=limit, in_title=True, shelf=shelf, where=where)


def _ranked(matches: Subquery, shelf: AnyShelf) -> Select[Any]:
    return (
        select(shelf.doc_key, shelf.kind, shelf.title, matches.c.score)
        .join(matches, matches.c.id == shelf.id)
        .order_by(matches.c.score.desc(), shelf.id)
    )


def _newest_only(shelf: type[Shelf], key: str) -> str:
    return f"ORDER BY {key} DESC LIMIT {MAX_RANKED}" if shelf is SearchPost else ""


def _matches_sqlite(words: list[str], in_title: bool, shelf: AnyShelf) -> Subquery:
    table = shelf.words_table
    if shelf is SearchPost:
        return _newest_sqlite(table, words, in_title)
    match = _match(words)
    return (
        text(
            f"SELECT rowid AS id, -bm25({table}, {TITLE_WEIGHT}, 1.0) AS score FROM {table} "
            f"WHERE {table} MATCH :match"
        )
        .bindparams(match=f"title : ({match})" if in_title else match)
        .columns(column("id"), column("score"))
        .subquery("matches")
    )


def _match(words: list[str], mark: str = "") -> str:
    # Words hold letters and digits only, so quoting them is enough.
    terms = [f'"{mark}{word}"' for word in words]
    if is_prefix_word(words[-1]):
        terms[-1] += "*"
    return " AND ".join(terms)


def _newest_sqlite(table: str, words: list[str], in_title: bool) -> Subquery:
    newest = f"FROM {table} WHERE {table} MATCH :{{}} ORDER BY rowid DESC LIMIT {MAX_RANKED}"
    titles = f"SELECT rowid AS id, rowid + {_TITLE_FIRST} AS score {newest.format('in_title')}"
    posts = f"SELECT rowid AS id, rowid AS score {newest.format('match')}"
    marked = _match(words, _TITLE_MARK)
    if in_title:
        found = text(titles).bindparams(in_title=marked)
    else:
        both = f"SELECT * FROM ({posts}) UNION ALL SELECT * FROM ({titles})"
        found = text(f"SELECT id, max(score) AS score FROM ({both}) GROUP BY id").bindparams(
            match=_match(words), in_title=marked
        )
    return found.columns(column("id"), column("score")).subquery("matches")


def _matches_postgres(words: list[str], in_title: bool, shelf: AnyShelf) -> Subquery:
    marks = [":A" if in_title else "" for _ in words]
    if is_prefix_word(words[-1]):
        marks[-1] = ":*A" if in_title else ":*"
    query = " & ".join(f"'{word}'{mark}" for word, mark in zip(words, marks, strict=True))
    return (
        text(
            "SELECT f.id AS id, ts_rank_cd('{0.1, 0.2, 0.4, 1.0}', f.vector, to_tsquery('simple', :query)) "
            f"AS score FROM (SELECT id, vector FROM {shelf.__tablename__} "
            f"WHERE vector @@ to_tsquery('simple', :query) {_newest_only(shelf, 'id')}) f"
        )
        .bindparams(query=query)
        .columns(column("id"), column("score"))
        .subquery("matches")
    )


def count_documents(db: Session, *, shelf: AnyShelf = SearchDocument) -> int:
    return db.scalar(select(func.count()).select_from(shelf)) or 0
