"""Deletion with a week to think again, names taken at the same moment, nothing left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from llmos.core import clock
from llmos.core.errors import Forbidden, NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import AuditEvent, Namespace, Organization
from llmos.features.repos.gating import grant_access
from llmos.features.repos.lifecycle import (
    create_repo,
    delete_repo,
    list_deleted_repos,
    purge_deleted_repos,
    restore_deleted_repo,
)
from llmos.features.repos.likes import like_repo
from llmos.features.repos.models import (
    AccessRequest,
    DeletedRepo,
    DownloadDay,
    Repo,
    RepoFacts,
    RepoLfsClaim,
    RepoLike,
)
from llmos.features.repos.moving import move_repo
from llmos.features.repos.naming import RepoExists
from llmos.features.repos.places import git_path
from llmos.infra.queue.outbox import OutboxEvent
from llmos.infra.runtime import Runtime

People = dict[str, Actor]
Make = Callable[..., Repo]


def _delete(rt: Runtime, actor: Actor, repo: Repo) -> str:
    with rt.database.writing() as db:
        row = db.get(Repo, repo.id)
        assert row is not None
        return delete_repo(db, actor, row).object_id


def test_a_deleted_repository_comes_back_as_it_was(rt: Runtime, people: People, make_repo: Make) -> None:
    repo = make_repo(visibility="private")
    with rt.database.writing() as db:
        row = db.get(Repo, repo.id)
        assert row is not None
        like_repo(db, people["ada"], row)
        db.add(RepoLfsClaim(repo_id=repo.id, oid="a" * 64, size_bytes=7))
        db.add(DownloadDay(repo_id=repo.id, day=clock.now().date(), count=5))
        row.gated = "manual"
        grant_access(db, people["ada"], row, "grace")
    object_id = _delete(rt, people["ada"], repo)
    with rt.database.reading() as db:
        for table in (Repo, RepoFacts, RepoLike, RepoLfsClaim):
            assert db.scalar(select(func.count()).select_from(table)) == 0
    with rt.database.writing() as db:
        back = restore_deleted_repo(db, people["ada"], rt, object_id)
    with rt.database.reading() as db:
        row = db.get(Repo, back.id)
        assert row is not None
        assert (row.repo_name, row.visibility, row.likes, row.head_oid) == (
            "ada/tiny-llm", "private", 1, repo.head_oid,
        )  # fmt: skip
        assert row.created_at == repo.created_at
        assert db.get(RepoLfsClaim, (back.id, "a" * 64)) is not None
        assert db.scalars(select(DownloadDay.count)).all() == [5]
        assert db.scalars(select(AccessRequest.status)).all() == ["accepted"]
        assert db.scalar(select(func.count()).select_from(DeletedRepo)) == 0


def test_a_taken_name_needs_another_one_on_return(rt: Runtime, people: People, make_repo: Make) -> None:
    object_id = _delete(rt, people["ada"], make_repo())
    make_repo()
    with rt.database.write_session() as db, pytest.raises(RepoExists):
        restore_deleted_repo(db, people["ada"], rt, object_id)
    with rt.database.writing() as db:
        back = restore_deleted_repo(db, people["ada"], rt, object_id, new_name="second")
        assert back.repo_name == "ada/second"


def test_strangers_restore_nothing(rt: Runtime, people: People, make_repo: Make) -> None:
    object_id = _delete(rt, people["ada"], make_repo())
    with rt.database.write_session() as db, pytest.raises(Forbidden):
        restore_deleted_repo(db, people["grace"], rt, object_id)
    with rt.database.reading() as db:
        namespace = db.scalars(select(Namespace).where(Namespace.name == "ada")).one()
        assert [item.object_id for item in list_deleted_repos(db, people["ada"], namespace)] == [object_id]
        with pytest.raises(Forbidden):
            list_deleted_repos(db, people["grace"], namespace)


def test_the_folder_goes_after_a_week(rt: Runtime, people: People, make_repo: Make) -> None:
    repo = make_repo()
    object_id = _delete(rt, people["ada"], repo)
    assert purge_deleted_repos(rt) == 0
    assert git_path(rt, repo).is_dir()
    with rt.database.writing() as db:
        db.execute(update(DeletedRepo).values(purge_after=clock.now() - timedelta(seconds=1)))
    assert purge_deleted_repos(rt) == 1
    assert not git_path(rt, repo).exists()
    with rt.database.write_session() as db, pytest.raises(NotFound):
        restore_deleted_repo(db, people["ada"], rt, object_id)


def test_of_two_at_the_same_moment_one_gets_the_name(rt: Runtime, people: People) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def attempt() -> None:
        start.wait()
        try:
            with rt.database.writing() as db:
                create_repo(db, people["ada"], rt, name="race")
            outcomes.append("created")
        except RepoExists:
            outcomes.append("exists")

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["created", "exists", "exists", "exists"]
    assert len(list(rt.git_root.glob("*/*.git"))) == 1


def test_a_refused_creation_leaves_no_folder(rt: Runtime, people: People, make_repo: Make) -> None:
    make_repo()
    for by, name, error in (("ada", "tiny-llm", RepoExists), ("grace", "ada/other", Forbidden)):
        with rt.database.write_session() as db, pytest.raises(error):
            create_repo(db, people[by], rt, name=name)
    assert len(list(rt.git_root.glob("*/*"))) == 1


def test_an_organisation_may_prescribe_privacy(rt: Runtime, people: People, make_repo: Make) -> None:
    with rt.database.writing() as db:
        db.execute(update(Organization).values(default_visibility="private"))
    assert make_repo(organization="lab").visibility == "private"
    assert make_repo("open", organization="lab", visibility="public").visibility == "public"


def test_changes_are_audited_and_announced(rt: Runtime, people: People, make_repo: Make) -> None:
    repo = make_repo()
    with rt.database.writing() as db:
        row = db.get(Repo, repo.id)
        assert row is not None
        move_repo(db, people["ada"], row, "lab/tiny-llm")
    _delete(rt, people["ada"], repo)
    with rt.database.reading() as db:
        actions = db.scalars(select(AuditEvent.action).order_by(AuditEvent.id)).all()
        topics = db.scalars(select(OutboxEvent.topic).order_by(OutboxEvent.id)).all()
    assert actions == ["repo.create", "repo.move", "repo.delete"]
    assert topics == ["RepoCreated", "RepoMoved", "RepoDeleted"]
