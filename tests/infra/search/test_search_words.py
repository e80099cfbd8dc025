"""Text is cut into the same words for documents and for queries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmos.infra.search.words import MAX_WORD_CHARS, index_words, query_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Tiny-LLM v2", ["tiny", "llm", "tinyllm", "v2"]),
        ("llama3", ["llama3", "llama"]),
        ("语言模型", ["语", "言", "模", "型", "语言", "言模", "模型"]),
        ("中", ["中"]),
        ("用LLM写代码", ["用", "llm", "写", "代", "码", "写代", "代码"]),
        ("Ｆｕｌｌ　Ｗｉｄｔｈ", ["full", "width"]),
        ("café", ["cafe"]),
        ("", []),
        ("-- __ ..", []),
    ],
)
def test_words_of_a_document(text: str, words: list[str]) -> None:
    assert index_words(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tiny-llm", ["tiny", "llm"]),
        ("语言模型", ["语言", "言模", "模型"]),
        ("型", ["型"]),
        ("a a", ["a"]),
        ('"; DROP TABLE x', ["drop", "table", "x"]),
    ],
)
def test_words_of_a_query(text: str, words: list[str]) -> None:
    assert query_words(text) == words


@given(st.text(max_size=300))
def test_every_document_is_found_by_its_own_text(text: str) -> None:
    words = index_words(text)
    assert set(query_words(text)) <= set(words)
    assert all(0 < len(word) <= MAX_WORD_CHARS for word in words)
    assert not {"'", '"', " ", "\0"} & set("".join(words))
