"""Copies of one's data, and deleted accounts."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from features.discovery.conftest import Town
from llmos.core import clock
from llmos.features.accounts.models import Membership, Namespace, User
from llmos.features.discussions.forum_models import Draft
from llmos.features.discussions.models import Comment, CommentVersion, Thread, Upload
from llmos.features.discussions.upload_gc import collect_uploads
from llmos.features.moderation.models import Appeal
from llmos.features.moderation.sanctions import impose
from llmos.features.notifications.models import Webhook
from llmos.features.repos.models import Repo
from llmos.features.rights.erase import erase_due
from llmos.features.rights.export import collect_data, make_exports
from llmos.features.rights.models import AccountDeletion, DataExport


def test_a_copy_of_the_data(town: Town) -> None:
    repo = town.repo("tiny")
    town.thread("Mine", "my words", repo_id=repo)
    town.thread("Hers", "her words", "grace", repo_id=repo)
    town.post("/ada/tiny/like", "ada")
    assert town.get("/settings/data").headers["location"].startswith("/login")
    assert town.post("/settings/data/export", "ada").status_code == 303
    assert "Being made" in town.get("/settings/data", "ada").text
    make_exports(town.rt)
    with town.rt.database.reading() as db:
        export = db.scalars(select(DataExport)).one().object_id
    answer = town.get(f"/settings/data/export/{export}", "ada")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    files = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    assert files["account.json"]["name"] == "ada"
    assert [row["text"] for row in files["comments.json"]] == ["my words"]
    assert files["likes.json"][0]["name"] == "ada/tiny"
    assert files["repositories.json"][0]["name"] == "ada/tiny"
    whole = b"".join(archive.read(name) for name in archive.namelist())
    assert b"her words" not in whole
    assert b"hash" not in whole
    assert town.get(f"/settings/data/export/{export}", "grace").status_code == 404
    with town.rt.database.writing() as db:
        db.execute(update(DataExport).values(expires_at=clock.now() - timedelta(seconds=1)))
    assert town.get(f"/settings/data/export/{export}", "ada").status_code == 404
    make_exports(town.rt)
    assert not list((town.rt.settings.home / "exports").iterdir())


def _due(town: Town) -> None:
    with town.rt.database.writing() as db:
        db.execute(update(AccountDeletion).values(due_at=clock.now()))
    erase_due(town.rt)


def _names(town: Town) -> set[str]:
    with town.rt.database.reading() as db:
        return set(db.scalars(select(Namespace.name)))


def test_suspended_people_take_their_data_and_learn_what_was_decided(town: Town) -> None:
    with town.rt.database.writing() as db:
        ids = {row.name: row.id for row in db.execute(select(Namespace.name, Namespace.id))}
        grace = db.get_one(User, ids["grace"])
        measure = impose(db, town.actor("root-admin"), grace, "suspend", "No insults", days=3)
        db.add(Webhook(object_id="0" * 24, user_id=grace.id, url="https://x.example", secret="s3cret-words"))
        db.add(Appeal(measure_id=measure.id, user_id=grace.id, text="It was a quotation"))
    assert town.post("/settings/data/export", "grace").status_code == 303
    make_exports(town.rt)
    with town.rt.database.reading() as db:
        files = collect_data(db, ids["grace"])
        export = db.scalars(select(DataExport)).one()
        assert export.ready_at is not None
    assert town.get(f"/settings/data/export/{export.object_id}", "grace").status_code == 200
    assert [row["reason"] for row in files["decisions_about_me"]] == ["No insults"]
    assert [row["text"] for row in files["appeals"]] == ["It was a quotation"]
    assert files["webhooks"][0]["url"] == "https://x.example"
    assert "s3cret" not in str(files)
    assert "root-admin" not in str(files["decisions_about_me"])
    town.post("/settings/data/delete", "grace", name="grace")
    with town.rt.database.reading() as db:
        assert db.scalar(select(func.count()).select_from(AccountDeletion)) == 0


def test_deletion_waits_and_can_be_undone(town: Town) -> None:
    assert town.post("/settings/data/delete", "grace", name="gracy").status_code == 303
    erase_due(town.rt)
    town.post("/settings/data/delete", "grace", name="grace")
    erase_due(town.rt)
    assert "Keep my account" in town.get("/settings/data", "grace").text
    town.post("/settings/data/delete", "grace", action="undo")
    _due(town)
    assert "grace" in _names(town)


@pytest.mark.parametrize("removes", [False, True])
def test_deleted_account_leaves_what_was_chosen(town: Town, removes: bool) -> None:
    town.thread("A question", "my own words", "grace")
    town.repo("words", "grace")
    with town.rt.database.writing() as db:
        ids = {row.name: row.id for row in db.execute(select(Namespace.name, Namespace.id))}
        db.add(Membership(org_id=ids["lab"], user_id=ids["grace"], role="write"))
    choice = {"posts": "remove"} if removes else {"posts": "keep", "heir": "lab"}
    assert town.post("/settings/data/delete", "grace", name="grace", **choice).status_code == 303
    town.tell()
    _due(town)
    assert "grace" not in _names(town)
    with town.rt.database.reading() as db:
        thread, comment = db.scalars(select(Thread)).one(), db.scalars(select(Comment)).one()
        assert (thread.author_id, comment.author_id) == (None, None)
        assert (thread.title, comment.text) == (("…", "") if removes else ("A question", "my own words"))
        names = [repo.repo_name for repo in db.scalars(select(Repo)).unique()]
        assert names == ([] if removes else ["lab/words"])
    assert town.get("/grace").status_code == 404


@pytest.mark.parametrize("removes", [False, True])
def test_pictures_stay_or_go_with_the_texts(town: Town, removes: bool) -> None:
    shown, unsent = _upload(town, b"shown"), _upload(town, b"unsent")
    shared = _upload(town, b"shared")
    assert _upload(town, b"shared", "ada") == shared
    town.thread("A curve", f"![curve]({shown})", "grace")
    choice = {"posts": "remove"} if removes else {"posts": "keep"}
    assert town.post("/settings/data/delete", "grace", name="grace", **choice).status_code == 303
    _due(town)
    assert "grace" not in _names(town)
    assert town.get(shown).status_code == (404 if removes else 200)
    assert town.get(unsent).status_code == 404
    assert town.get(shared).status_code == 200, "ada has uploaded it, too"


def _upload(town: Town, words: bytes, who: str = "grace") -> str:
    headers = {"authorization": f"Bearer {town.tokens[who]}", "content-type": "image/png"}
    answer = town.client.post("/uploads", content=b"\x89PNG\r\n\x1a\n" + words, headers=headers)
    return answer.text.removeprefix("http://testserver")


def test_pictures_that_nothing_shows_go_after_the_grace(town: Town) -> None:
    shown, edited, drafted, unsent = (_upload(town, name) for name in (b"1", b"2", b"3", b"4"))
    town.thread("A curve", f"![curve]({shown})", "grace")
    with town.rt.database.writing() as db:
        comment = db.scalars(select(Comment)).one()
        db.add(CommentVersion(comment_id=comment.id, version=1, text=f"![]({edited})"))
        person = db.scalars(select(Namespace.id).where(Namespace.name == "ada")).one()
        db.add(Draft(user_id=person, place="new", text=f"see {drafted}"))
    later = clock.now() + timedelta(days=town.rt.settings.gc_grace_days + 1)
    assert collect_uploads(town.rt) == 0, "nothing is old yet"
    again = _upload(town, b"5")
    with town.rt.database.writing() as db:
        row = db.scalars(select(Upload).where(Upload.sha256 == again[11:75])).one()
        row.created_at = later
    assert collect_uploads(town.rt, later) == 1
    seen = [town.get(path).status_code for path in (shown, edited, drafted, again, unsent)]
    assert seen == [200, 200, 200, 200, 404]


def test_the_only_admin_stays(town: Town) -> None:
    assert "only admin of lab" in town.get("/settings/data", "ada").text
    town.post("/settings/data/delete", "ada", name="ada")
    with town.rt.database.reading() as db:
        assert db.scalar(select(func.count()).select_from(AccountDeletion)) == 0
