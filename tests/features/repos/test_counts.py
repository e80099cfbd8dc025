"""Downloads, trending, and lists that agree with the policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from llmos.core import clock
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor, TokenScope
from llmos.features.repos.downloads import count_download, flush_downloads
from llmos.features.repos.listing import RepoQuery, list_repos, parse_range
from llmos.features.repos.models import DownloadDay, Repo
from llmos.features.repos.policy import can_read
from llmos.features.repos.trending import recount, trending_score
from llmos.infra.runtime import Runtime

People = dict[str, Actor]
Make = Callable[..., Repo]


def _row(rt: Runtime, repo: Repo) -> Repo:
    with rt.database.reading() as db:
        row = db.get(Repo, repo.id)
        assert row is not None
        return row


def test_downloads_are_counted_by_day_and_survive_a_flush(rt: Runtime, make_repo: Make) -> None:
    repo = make_repo()
    for _ in range(3):
        count_download(rt, repo.id)
    count_download(rt, 999_999)  # deleted meanwhile
    assert flush_downloads(rt) == 4
    assert flush_downloads(rt) == 0
    count_download(rt, repo.id)
    flush_downloads(rt)
    row = _row(rt, repo)
    assert (row.downloads, row.downloads_all_time) == (4, 4)
    with rt.database.reading() as db:
        assert db.scalars(select(DownloadDay.count)).all() == [4]


def test_the_count_of_a_month_forgets_what_is_older(rt: Runtime, make_repo: Make) -> None:
    repo = make_repo()
    today = clock.now().date()
    with rt.database.writing() as db:
        for age, count in ((0, 1), (29, 10), (30, 100), (31, 1000)):
            db.add(DownloadDay(repo_id=repo.id, day=today - timedelta(days=age), count=count))
    assert recount(rt) == 1
    assert _row(rt, repo).downloads == 11
    assert recount(rt) == 0


def test_the_trending_score_follows_its_formula(rt: Runtime, make_repo: Make) -> None:
    assert trending_score(0, 0, 0, 100) == 0
    assert trending_score(2, 4, 0, 100) == 7
    assert trending_score(0, 0, 7, 100) == 6
    assert trending_score(0, 0, 0, 0) == 2
    assert trending_score(0, 0, 10**6, 100) < trending_score(20, 20, 0, 100)
    repo = make_repo()
    recount(rt)
    assert 1.9 < _row(rt, repo).trending_score <= 2


@pytest.mark.parametrize(
    ("text", "bounds"), [("min:6B", (6 * 10**9, None)), ("min:1.5k,max:2m", (1500, 2_000_000))]
)
def test_ranges_of_parameters(text: str, bounds: tuple[int | None, int | None]) -> None:
    assert parse_range(text) == bounds


def test_lists_show_exactly_what_the_policy_allows(rt: Runtime, people: People, make_repo: Make) -> None:
    repos = [
        make_repo("open"),
        make_repo("closed", visibility="private"),
        make_repo("inner", organization="lab", visibility="private"),
        make_repo("hers", by="grace", visibility="private"),
    ]
    ada = people["ada"]

    def scoped(*targets: str) -> Actor:
        scopes = tuple(TokenScope(target, frozenset({"repo.read"})) for target in targets)
        return dataclasses.replace(ada, token_role="fineGrained", scopes=scopes)

    actors = [
        *people.values(),
        dataclasses.replace(ada, token_role="read"),
        scoped(),
        scoped("*"),
        scoped("ada"),
        scoped("lab"),
        scoped("model:ada/closed"),
        scoped("model:lab/inner", "grace"),
        scoped("dataset:ada/closed"),
    ]
    with rt.database.reading() as db:
        rows = [db.get(Repo, repo.id) for repo in repos]
        for actor in actors:
            page = list_repos(db, actor, RepoQuery(RepoType.MODEL))
            allowed = {row.name for row in rows if row is not None and can_read(actor, row)}
            assert {record.name for record in page.items} == allowed


def test_cursors_of_every_order_pass_equal_values(rt: Runtime, people: People, make_repo: Make) -> None:
    repos = [make_repo(f"r{i}") for i in range(5)]
    with rt.database.writing() as db:
        db.execute(update(Repo).values(created_at=clock.now(), trending_score=0.1, likes=3))
    with rt.database.reading() as db:
        for sort in (
            "createdAt",
            "lastModified",
            "trendingScore",
            "likes",
            "downloads",
            "mainSize",
            "likes30d",
            "num_parameters",
            "id",
        ):
            found, cursor = [], None
            for _ in range(5):
                page = list_repos(
                    db, people["ada"], RepoQuery(RepoType.MODEL, sort=sort, limit=1, cursor=cursor)
                )
                found += [record.id for record in page.items]
                cursor = page.next_cursor
            assert cursor is None
            assert sorted(found) == sorted(repo.id for repo in repos)
