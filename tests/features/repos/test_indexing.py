"""The index can be thrown away and rebuilt from git."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, select

from llmos.features.accounts.actor import Actor
from llmos.features.repos.finding import find_repos, suggest_repos
from llmos.features.repos.indexing import index_head, reindex_all
from llmos.features.repos.json_clean import clean_json, parse_json_object
from llmos.features.repos.models import Repo, RepoFacts, RepoLink, RepoTag
from llmos.infra.runtime import Runtime
from llmos.infra.search.index import count_documents
from llmos.infra.search.tables import SearchDocument

People = dict[str, Actor]
Make = Callable[..., Repo]

CARD = b"""---
license: mit
language: zh
base_model: ada/parent
tags: [Tiny]
---
# \xe8\xaf\xad\xe8\xa8\x80\xe6\xa8\xa1\xe5\x9e\x8b
"""


def _picture(rt: Runtime) -> list[Any]:
    """Everything the index wrote, as plain values."""
    with rt.database.reading() as db:
        repos = db.scalars(select(Repo).order_by(Repo.id)).unique()
        rows: list[Any] = [
            (r.repo_name, r.head_oid, r.tags, r.license, r.pipeline_tag, r.used_storage_bytes, r.updated_at)
            for r in repos
        ]
        facts = db.scalars(select(RepoFacts).order_by(RepoFacts.repo_id))
        rows += [(f.head_oid, f.card, f.card_text, f.siblings, f.config, f.extra) for f in facts]
        rows += [tuple(r) for r in db.execute(select(RepoTag.repo_id, RepoTag.tag).order_by(RepoTag.tag))]
        rows += [tuple(r) for r in db.execute(select(RepoLink.relation, RepoLink.target_key))]
        rows += [count_documents(db)]
    return rows


def test_a_rebuilt_index_equals_the_first_one(rt: Runtime, make_repo: Make) -> None:
    make_repo(files={"README.md": CARD, "config.json": b'{"model_type": "llama"}'})
    make_repo("other", files={"a.txt": b"x"})
    before = _picture(rt)
    assert ("base_model:finetune", "model:ada/parent") in before
    with rt.database.writing() as db:
        for table in (RepoTag, RepoLink, RepoFacts):
            db.execute(delete(table))
    assert reindex_all(rt) == (2, 0)
    assert _picture(rt) == before


def test_an_unchanged_head_costs_nothing(rt: Runtime, make_repo: Make) -> None:
    repo = make_repo()
    with rt.database.writing() as db:
        row = db.get(Repo, repo.id)
        assert row is not None
        assert index_head(db, rt, row) is False
        assert index_head(db, rt, row, force=True) is True


def test_a_damaged_repository_does_not_stop_the_rebuild(rt: Runtime, make_repo: Make) -> None:
    from llmos.features.repos.places import git_path
    from llmos.features.repos.seeds import remove_git

    broken = make_repo("broken")
    make_repo("sound")
    remove_git(git_path(rt, broken))
    assert reindex_all(rt) == (1, 1)


def test_words_find_what_the_asker_may_see(rt: Runtime, people: People, make_repo: Make) -> None:
    shown = make_repo("shown", files={"README.md": CARD})
    hidden = make_repo("hidden", files={"README.md": CARD}, visibility="private")
    with rt.database.reading() as db:
        for who, names in (
            ("ada", {shown.name, hidden.name}),
            ("grace", {shown.name}),
            ("anonymous", {shown.name}),
        ):
            found = find_repos(db, people[who], "语言模型")
            assert {record.name for record, _score in found} == names
            assert {record.name for record in suggest_repos(db, people[who], "hid")} == names - {"shown"}


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ({"a\0": "b\0c"}, {"a": "bc"}),
        ([float("nan"), float("inf"), 1.5], [None, None, 1.5]),
        (2**70, float(2**70)),
        ("\ud800", "?"),
        ((1, True, None), [1, True, None]),
    ],
)
def test_json_is_made_fit_for_every_database(value: Any, clean: Any) -> None:
    assert clean_json(value) == clean


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a": ' * 5000])
def test_what_is_no_json_object_is_empty(data: bytes) -> None:
    assert parse_json_object(data) == {}


def test_deeply_nested_json_is_cut(rt: Runtime, make_repo: Make) -> None:
    deep = b'{"a":' * 400 + b"1" + b"}" * 400
    make_repo(files={"config.json": deep, "tokenizer_config.json": b'{"mask_token": "\\u0000[M]"}'})
    with rt.database.reading() as db:
        assert db.scalars(select(SearchDocument)).one().kind == "model"
