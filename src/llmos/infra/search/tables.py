"""The table of documents, and what each database adds to it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Index, String, Text, event, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from llmos.infra.db.base import Base, IntPk

FTS_TABLE = "search_words"


class SearchDocument(Base):
    """One document. PostgreSQL keeps its words in `vector`; SQLite in the table `search_words`,
    an FTS5 table whose rowid is this id (see `create_fts_table`)."""

    __tablename__ = "search_documents"
    __table_args__ = (
        # On SQLite an index of nothing: one shape of the table on both databases.
        Index("ix_search_documents_vector", "vector", postgresql_using="gin"),
    )

    id: Mapped[IntPk]
    doc_key: Mapped[str] = mapped_column(String(80), unique=True)
    kind: Mapped[str] = mapped_column(String(16), index=True)
    title: Mapped[str] = mapped_column(String(300))
    vector: Mapped[str | None] = mapped_column(Text().with_variant(TSVECTOR(), "postgresql"), deferred=True)


def create_fts_table(connection: Connection) -> None:
    """SQLite only: the full-text table beside `search_documents`; nothing to do elsewhere.

    Called after the table is created; a migration that creates the table calls it, too.
    """
    if connection.dialect.name == "sqlite":
        connection.execute(
            text(
                f"CREATE VIRTUAL TABLE IF NOT EXISTS {FTS_TABLE} "
                'USING fts5(title, body, tokenize = "unicode61 remove_diacritics 0")'
            )
        )


@event.listens_for(SearchDocument.__table__, "after_create")
def _after_create(_table: Any, connection: Connection, **_: Any) -> None:
    create_fts_table(connection)
