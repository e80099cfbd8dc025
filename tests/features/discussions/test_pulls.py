"""Pull requests: conflicts, suggestions, reviews, settings and what large files change."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from sqlalchemy import select

from features.discussions.conftest import Place
from llmos.core.errors import BadRequest, Conflict, Forbidden
from llmos.features.discussions.categories import access_category
from llmos.features.discussions.comments import LinePlace, add_comment, add_reaction, edit_comment
from llmos.features.discussions.conflicts import Take, list_conflict_sides, resolve_conflicts
from llmos.features.discussions.merging import MergeWish, merge_pull
from llmos.features.discussions.models import Comment, ThreadEvent
from llmos.features.discussions.pull_state import PullState, pull_commits, pull_diff, read_pull_state
from llmos.features.discussions.pulls import create_pull
from llmos.features.discussions.queries import (
    count_reactions,
    list_all_entries,
    list_line_comments,
    list_versions,
)
from llmos.features.discussions.review_notes import keep_note, list_notes
from llmos.features.discussions.reviews import LineNote, read_gate, report_check, set_rules, submit_review
from llmos.features.discussions.suggestions import apply_suggestion, find_suggestion
from llmos.features.discussions.threads import open_topic
from llmos.features.discussions.weight_changes import list_large_changes
from llmos.features.repos.claims import claim
from llmos.features.repos.commit_targets import open_target
from llmos.features.repos.commits import CommitDraft
from llmos.features.repos.files import read_text
from llmos.features.repos.lifecycle import delete_repo, restore_deleted_repo
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.features.storage.objects import put_lfs_object
from llmos.infra.git.commits import get_commit
from llmos.infra.git.revisions import read_ref


def state_of(place: Place, num: int) -> PullState:
    return read_pull_state(place.rt, place.repo, place.thread(num))


def text_at(place: Place, rev: str, path: str) -> str | None:
    return read_text(place.rt, place.repo, rev, path).text


def conflicted(place: Place) -> int:
    place.commit({"a.txt": b"one\ntwo\n", "b.bin": b"\0one", "c.txt": b"c\n"})
    num = place.pull({"a.txt": b"one\nTWO\n", "b.bin": b"\0two", "new.txt": b"n\n"})
    place.commit({"a.txt": b"one\nzwei\n", "b.bin": b"\0zwei", "c.txt": b"C\n"})
    return num


def test_conflicts_are_shown_and_resolved(place: Place) -> None:
    num = conflicted(place)
    state = state_of(place, num)
    assert state.conflicts == ("a.txt", "b.bin")
    text, binary = list_conflict_sides(place.rt, place.repo, state)
    assert (text.ancestor, text.pull, text.base) == ("one\ntwo\n", "one\nTWO\n", "one\nzwei\n")
    assert text.merged is not None
    assert text.merged.startswith("one\n<<<<<<< a.txt\nTWO\n=======\nzwei\n>>>>>>> a.txt")
    assert (binary.is_text, binary.is_in_pull, binary.is_in_base) == (False, True, True)

    thread_id = place.thread(num).id
    with pytest.raises(Conflict) as caught:
        merge_pull(place.rt, place.ada, thread_id, MergeWish(comment="go"))
    assert (caught.value.code, caught.value.data["files"]) == ("MergeConflict", ["a.txt", "b.bin"])
    resolve = {"a.txt": "one\ndos\n", "b.bin": Take("base")}
    for bad, code in (
        ({"a.txt": "x"}, "Unresolved"),
        ({**resolve, "c.txt": "x"}, "BadRequest"),
        ({**resolve, "a.txt": text.merged}, "BadRequest"),
        ({**resolve, "b.bin": Take("mine")}, "BadRequest"),
    ):
        with pytest.raises((Conflict, BadRequest)) as refused:
            resolve_conflicts(place.rt, place.grace, thread_id, bad)
        assert refused.value.code == code
    with pytest.raises(Conflict, match="meanwhile"):
        resolve_conflicts(place.rt, place.grace, thread_id, resolve, head_oid="0" * 40)
    oid = resolve_conflicts(place.rt, place.grace, thread_id, resolve, head_oid=state.head_oid)
    assert text_at(place, oid, "a.txt") == "one\ndos\n"
    assert text_at(place, oid, "c.txt") == "C\n"
    assert text_at(place, oid, "new.txt") == "n\n"
    assert state_of(place, num).is_mergeable
    with place.rt.database.reading() as db:
        told = db.query(ThreadEvent).filter_by(thread_id=thread_id, kind="commit").order_by(ThreadEvent.id)
        assert [event.data["oid"] for event in told][1:] == [oid], "not what came with the base"
    # What the base already has is no change of the pull request.
    diff = pull_diff(place.rt, place.repo, state_of(place, num))
    assert diff is not None
    assert [file.new_path for file in diff.files] == ["a.txt", "new.txt"]
    merged = merge_pull(place.rt, place.ada, thread_id, MergeWish(method="merge"))
    assert len(get_commit(open_git(place.rt, place.repo), merged).parents) == 2
    with pytest.raises(Conflict):
        resolve_conflicts(place.rt, place.grace, thread_id, resolve)


def test_suggestions_become_commits(place: Place) -> None:
    place.commit({"a.txt": b"one\r\ntwo\r\nthree"})
    num = place.pull({"a.txt": b"one\r\nTWO\r\nthree"})
    head = state_of(place, num).head_oid
    assert head is not None
    with place.changing(num) as (db, ada, thread):
        text = "Better:\n```suggestion\ntwo and\na half\n```\n"
        better = add_comment(db, ada, thread, text, place=LinePlace("a.txt", "new", 2, head))
        last = add_comment(db, ada, thread, "```suggestion\n3\n```", place=LinePlace("a.txt", "new", 3, head))
        plain = add_comment(db, ada, thread, "nice")
        assert list_line_comments(db, thread) == {"a.txt": [better, last]}
    apply_suggestion(place.rt, place.grace, last.id)
    oid = apply_suggestion(place.rt, place.grace, better.id)
    git_repo = open_git(place.rt, place.repo)
    assert read_ref(git_repo, f"refs/pr/{num}") == oid
    assert text_at(place, oid, "a.txt") == "one\r\ntwo and\r\na half\r\n3"
    assert "Suggested-by: ada" in get_commit(git_repo, oid).message
    with place.rt.database.reading() as db:
        assert list_line_comments(db, place.thread(num))["a.txt"][0].resolved_at is not None
    for again, refusal in ((better, Conflict), (plain, BadRequest)):
        with pytest.raises(refusal):
            apply_suggestion(place.rt, place.grace, again.id)
    assert find_suggestion("```suggestion\n```") == ""
    assert find_suggestion("```python\nx\n```") is None


def test_reviews_and_checks_open_the_gate(place: Place) -> None:
    num = place.pull({"a.txt": b"1"})
    thread_id = place.thread(num).id
    with place.changing(num) as (db, ada, _):
        set_rules(db, ada, place.repo, required_approvals=1, required_checks=["tests"])
        with pytest.raises(BadRequest):
            set_rules(db, ada, place.repo, required_approvals=-1)
    for needed in ("approvals",):
        with pytest.raises(Forbidden, match=needed):
            merge_pull(place.rt, place.ada, thread_id)
    with place.changing(num, "grace") as (db, grace, thread), pytest.raises(BadRequest, match="your own"):
        submit_review(db, grace, thread, "approve")
    with place.changing(num, "root-admin") as (db, admin, thread):
        submit_review(db, admin, thread, "approve", "Fine by me, but I am not of this repository.")
    with place.changing(num) as (db, ada, thread):
        note = LineNote(LinePlace("a.txt", "new", 1, state_of(place, num).head_oid or ""), "why?")
        with pytest.raises(BadRequest):
            submit_review(db, ada, thread, "request_changes")
        submit_review(db, ada, thread, "request_changes", notes=[note])
    with pytest.raises(Forbidden, match="asked for changes"):
        merge_pull(place.rt, place.ada, thread_id)
    with place.changing(num) as (db, ada, thread):
        submit_review(db, ada, thread, "approve")
    with pytest.raises(Forbidden, match="tests") as caught:
        merge_pull(place.rt, place.ada, thread_id)
    assert caught.value.data == {"missing_checks": ["tests"]}
    # An approval holds for the commit it was given on.
    place.commit({"a.txt": b"2"}, by="grace", rev=f"refs/pr/{num}")
    with place.changing(num) as (db, ada, thread):
        head = state_of(place, num).head_oid
        assert head is not None
        assert read_gate(db, place.repo, thread, head).approvals == 0
        submit_review(db, ada, thread, "approve")
        report_check(db, ada, place.repo, head, "tests", "failure")
        report_check(db, ada, place.repo, head, "tests", "success", url="https://ci.example.org/1")
        with pytest.raises(BadRequest):
            report_check(db, ada, place.repo, head, "tests", "perhaps")
        with pytest.raises(Forbidden):
            report_check(db, place.grace, place.repo, head, "tests", "success")
    with pytest.raises(Conflict, match="New commits"):
        merge_pull(place.rt, place.ada, thread_id, MergeWish(head_oid="0" * 40))
    merge_pull(place.rt, place.ada, thread_id, MergeWish(head_oid=head))
    assert place.thread(num).status == "merged"


def test_history_that_moves_is_told(place: Place) -> None:
    first = create_pull(place.rt, place.grace, place.repo.id, "Draft", "")
    assert place.thread(first).status == "draft"
    assert not state_of(place, first).has_changes
    place.commit({"a.txt": b"1"}, by="grace", rev=f"refs/pr/{first}", message="One")
    place.commit({"a.txt": b"2"}, by="grace", rev=f"refs/pr/{first}", message="Two")
    commits = pull_commits(place.rt, place.repo, state_of(place, first))
    assert [info.title for info in commits] == ["One", "Two"]
    with place.rt.database.reading() as db:
        wanted = (
            select(ThreadEvent)
            .where(ThreadEvent.thread_id == place.thread(first).id)
            .order_by(ThreadEvent.id)
        )
        subjects = [event.data["subject"] for event in db.scalars(wanted).unique()]
    assert subjects == ["One", "Two"]
    place.commit({"c.txt": b"3"}, message=f"Three, closes #{first}")
    assert place.thread(first).status == "draft"
    with pytest.raises(BadRequest, match="title"):
        create_pull(place.rt, place.grace, place.repo.id, " ", "")


def test_threads_come_back_with_their_repository(place: Place) -> None:
    num = place.pull({"a.txt": b"1"})
    with place.changing(num, "grace") as (db, grace, thread):
        reply = add_comment(db, grace, thread, "first")
        edit_comment(db, grace, thread, reply, "second")
        add_comment(db, place.ada, thread, "answer", reply_to=reply)
        add_reaction(db, place.ada, thread, reply, "🚀")
        submit_review(db, place.ada, thread, "approve", "Yes.")
        set_rules(db, place.ada, place.repo, required_approvals=1)
        spot = LinePlace("a.txt", "new", 1, thread.pull.head_oid or "")
        keep_note(db, place.ada, thread, "not sent yet", spot, reply_to=reply)
    with place.rt.database.writing() as db:
        repo = db.get(Repo, place.repo.id)
        assert repo is not None
        object_id = delete_repo(db, place.ada, repo).object_id
    with place.rt.database.writing() as db:
        # Somebody else takes the ids meanwhile.
        open_topic(db, place.grace, access_category(db, "help"), "Where is it?", "Gone?")
        place.repo = restore_deleted_repo(db, place.ada, place.rt, object_id)
    with place.rt.database.reading() as db:
        thread = place.thread(num, db)
        entries = list_all_entries(db, thread)
        texts = [entry.text for entry in entries if isinstance(entry, Comment)]
        assert texts == ["", "second", "answer", "Yes."]
        found = [entry for entry in entries if isinstance(entry, Comment)]
        assert thread.first_comment_id == found[0].id
        assert found[2].reply_to_id == found[1].id
        assert [version.text for version in list_versions(db, found)[found[1].id]] == ["first"]
        assert count_reactions(db, place.ada, found)[found[1].id][0].emoji == "🚀"
        assert read_gate(db, place.repo, thread, state_of(place, num).head_oid).is_open
        assert [note.reply_to_id for note in list_notes(db, place.ada, thread)] == [found[1].id]
    merge_pull(place.rt, place.ada, thread.id)
    place.commit({"b.txt": b"2"}, by="grace", as_pull=True)


def safetensors(tensors: dict[str, tuple[str, list[int]]], fill: bytes = b"\0") -> bytes:
    header, offset = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = {"F32": 4, "F16": 2}[dtype]
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + fill * offset


def test_tensors_that_change_are_named(place: Place, tmp_path: Path) -> None:
    old = safetensors({"embed": ("F32", [4, 2]), "head": ("F32", [2]), "gone": ("F32", [1])})
    new = safetensors({"embed": ("F16", [4, 2]), "head": ("F32", [2]), "fresh": ("F32", [3])}, b"\1")

    def put(data: bytes, rev: str, by: str, as_pull: bool) -> int | None:
        oid = hashlib.sha256(data).hexdigest()
        path = tmp_path / oid
        path.write_bytes(data)
        put_lfs_object(place.rt, path, oid, len(data), sha256=oid)
        with place.rt.database.writing() as db:
            claim(db, place.repo, oid, len(data))
            names = (place.repo.repo_type, "ada", "tiny-llm")
            target = open_target(db, place.rt, place.people[by], *names, rev, create_pr=as_pull)
        with CommitDraft(place.rt, place.people[by], target) as draft:
            draft.set_header("Weights", "", None)
            draft.add_large("model.safetensors", oid, len(data))
            return draft.finish().pull_num

    put(old, "main", "ada", False)
    num = put(new, "main", "grace", True)
    assert num is not None
    state = state_of(place, num)
    diff = pull_diff(place.rt, place.repo, state)
    assert diff is not None
    with place.rt.database.reading() as db:
        change = list_large_changes(db, place.rt, place.repo, state, diff)["model.safetensors"]
    assert (change.old_size_bytes, change.new_size_bytes) == (len(old), len(new))
    assert change.tensors is not None
    assert [(tensor.name, tensor.kind) for tensor in change.tensors] == [
        ("embed", "changed"), ("fresh", "added"), ("gone", "removed"),
    ]  # fmt: skip
    assert (change.tensors[0].old_dtype, change.tensors[0].new_dtype) == ("F32", "F16")
    assert change.same_count == 1
