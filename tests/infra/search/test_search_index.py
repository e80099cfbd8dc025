"""The index on the database of this run."""

from __future__ import annotations

import pytest

from llmos.infra.runtime import Runtime
from llmos.infra.search.index import count_documents, index_document, remove_document, search, suggest


@pytest.fixture
def filled(rt: Runtime) -> Runtime:
    with rt.database.writing() as db:
        index_document(db, "a", "model", "ada/tiny-llm", "A small language model. 一个小型语言模型。")
        index_document(db, "b", "model", "ada/vision", "Mentions the tiny llm once.")
        index_document(db, "c", "dataset", "grace/words", "中文语料 for language models")
    return rt


@pytest.mark.parametrize(
    ("query", "kinds", "keys"),
    [
        ("tiny llm", (), ["a", "b"]),
        ("tin", (), ["a", "b"]),
        ("语言模型", (), ["a"]),
        ("语料", (), ["c"]),
        ("料", (), ["c"]),
        ("language", ("dataset",), ["c"]),
        ("language", ("model", "dataset"), ["a", "c"]),
        ("nothing-like-it", (), []),
        ("", (), []),
        ("'); --", (), []),
        ("tiny & | ! ( :* \\", (), ["a", "b"]),
    ],
)
def test_queries_find_documents_best_first(
    filled: Runtime, query: str, kinds: tuple[str, ...], keys: list[str]
) -> None:
    with filled.database.reading() as db:
        found = [hit.doc_key for hit in search(db, query, kinds=kinds)]
    assert sorted(found) == keys
    if keys == ["a", "b"]:
        assert found[0] == "a"  # the title weighs more than the text


def test_suggestions_look_at_titles_only(filled: Runtime) -> None:
    with filled.database.reading() as db:
        assert [hit.title for hit in suggest(db, "ti")] == ["ada/tiny-llm"]
        assert [hit.title for hit in suggest(db, "ada/v")] == ["ada/vision"]


def test_a_document_is_replaced_and_removed(filled: Runtime) -> None:
    with filled.database.writing() as db:
        index_document(db, "a", "model", "ada/renamed", "other")
        remove_document(db, "b")
        remove_document(db, "never-was")
    with filled.database.reading() as db:
        assert search(db, "tiny") == []
        assert [hit.doc_key for hit in search(db, "renamed")] == ["a"]
        assert count_documents(db) == 2


def test_a_rolled_back_change_leaves_no_trace(filled: Runtime) -> None:
    with filled.database.write_session() as db:
        index_document(db, "z", "model", "ada/zebra", "zebra")
        db.rollback()
    with filled.database.reading() as db:
        assert search(db, "zebra") == []


def test_a_huge_document_is_taken(rt: Runtime) -> None:
    with rt.database.writing() as db:
        index_document(
            db, "big", "model", "ada/big", "".join(chr(0x4E00 + i % 20000) for i in range(300_000))
        )
    with rt.database.reading() as db:
        assert [hit.doc_key for hit in search(db, "big")] == ["big"]


@pytest.mark.parametrize("query", ["\U0001e4d0", "\u0e4d", "x\U00010570y", "\u3192 tiny", "½", "１", "ʹ"])
def test_letters_a_database_does_not_know_are_harmless(filled: Runtime, query: str) -> None:
    with filled.database.writing() as db:
        index_document(db, "odd", "model", query, query)
    with filled.database.reading() as db:
        assert all(hit.kind == "model" for hit in search(db, query))
