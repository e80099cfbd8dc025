"""The table of documents, and what each database adds to it."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import Connection, Index, String, Text, event, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from llmos.infra.db.base import Base, IntPk


class Shelf:
    """Columns of a table of documents. PostgreSQL keeps the words in `vector`; SQLite in the FTS5
    table `words_table`, whose rowid is this id."""

    words_table: ClassVar[str]

    id: Mapped[IntPk]
    doc_key: Mapped[str] = mapped_column(String(80), unique=True)
    kind: Mapped[str] = mapped_column(String(16), index=True)
    title: Mapped[str] = mapped_column(String(300))
    # Documents that are shown or hidden together; the feature that asks knows what it means.
    group_id: Mapped[int | None] = mapped_column(index=True)

    @declared_attr
    @classmethod
    def vector(cls) -> Mapped[str | None]:
        return mapped_column(Text().with_variant(TSVECTOR(), "postgresql"), deferred=True)


class SearchDocument(Shelf, Base):
    """Few, weighty documents: every query ranks all that match."""

    __tablename__ = "search_documents"
    # On SQLite an index of nothing: one shape of the table on both databases.
    __table_args__ = (Index("ix_search_documents_vector", "vector", postgresql_using="gin"),)
    words_table = "search_words"


class SearchPost(Shelf, Base):
    """Many small documents, kept apart so that neither shelf slows the other down."""

    __tablename__ = "search_posts"
    __table_args__ = (Index("ix_search_posts_vector", "vector", postgresql_using="gin"),)
    words_table = "search_words_posts"


def create_fts_table(connection: Connection) -> None:
    """SQLite only: the full-text tables beside the shelves; nothing to do elsewhere."""
    if connection.dialect.name != "sqlite":
        return
    for shelf in (SearchDocument, SearchPost):
        connection.execute(
            text(
                f"CREATE VIRTUAL TABLE IF NOT EXISTS {shelf.words_table} "
                'USING fts5(title, body, tokenize = "unicode61 remove_diacritics 0")'
            )
        )


@event.listens_for(SearchPost.__table__, "after_create")
@event.listens_for(SearchDocument.__table__, "after_create")
def _after_create(_table: Any, connection: Connection, **_: Any) -> None:
    create_fts_table(connection)
