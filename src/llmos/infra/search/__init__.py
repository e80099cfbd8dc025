"""Full-text search with one behaviour on SQLite (FTS5) and PostgreSQL (tsvector).

An adapter without product nouns: documents have a key, a kind, a title and a text. What a reader
may see is decided by the feature that asks.
"""
