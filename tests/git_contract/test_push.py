"""Pushes: what is accepted, what is refused, and that a refusal changes nothing."""

import os

import pytest
from sqlalchemy import select

from llmos.features.repos.models import BranchRule, Repo
from llmos.features.repos.places import git_path
from llmos.infra.queue.outbox import OutboxEvent


def remote_refs(git):
    lines = git.run("ls-remote", "origin").splitlines()
    return {ref: oid for oid, ref in (line.split("\t") for line in lines if "\t" in line)}


def refused(git, *args):
    """The push fails, says why, and leaves every ref where it was."""
    before = remote_refs(git)
    text = git.run("push", *args, ok=False)
    assert remote_refs(git) == before
    return text


def test_a_push_moves_the_branch_and_is_recorded(clone, repo, live_rt):
    head = clone.commit({"c.txt": b"two\n"})
    clone.run("push", "-q", "origin", "HEAD:main")
    assert remote_refs(clone)["refs/heads/main"] == head
    with live_rt.database.reading() as db:
        assert db.get(Repo, repo.id).head_oid == head
        events = db.scalars(
            select(OutboxEvent).where(OutboxEvent.topic == "RepoPushed").order_by(OutboxEvent.id)
        ).all()
    updates = [
        item for event in events if event.payload["repo_id"] == repo.id for item in event.payload["updates"]
    ]
    assert {"ref": "refs/heads/main", "new_oid": head} == {
        key: updates[-1][key] for key in ("ref", "new_oid")
    }


def test_a_lock_that_a_killed_process_left_stops_nobody(clone, repo, live_rt):
    lock = git_path(live_rt, repo) / "refs/heads/main.lock"
    lock.touch()
    head = clone.commit({"c.txt": b"three\n"})
    assert "lock" in refused(clone, "-q", "origin", "HEAD:main"), "somebody may be at it"
    os.utime(lock, (0, 0))
    clone.run("push", "-q", "origin", "HEAD:main")
    assert remote_refs(clone)["refs/heads/main"] == head


def test_branches_and_tags_come_and_go(clone):
    clone.run("tag", "v1")
    clone.run("tag", "-a", "v2", "-m", "second")
    clone.run("push", "-q", "origin", "HEAD:feature", "--tags")
    assert {"refs/heads/feature", "refs/tags/v1", "refs/tags/v2"} <= set(remote_refs(clone))
    clone.run("push", "-q", "origin", ":feature", ":v1")
    assert not {"refs/heads/feature", "refs/tags/v1"} & set(remote_refs(clone))


def test_a_forced_push_is_refused_on_main_and_allowed_on_a_feature_branch(clone):
    clone.run("push", "-q", "origin", "HEAD:feature")
    clone.run("commit", "-q", "--amend", "-m", "Rewritten")
    assert "protected branch" in refused(clone, "--force", "origin", "HEAD:main")
    clone.run("push", "-q", "--force", "origin", "HEAD:feature")
    assert remote_refs(clone)["refs/heads/feature"] == clone.run("rev-parse", "HEAD").strip()


def test_main_cannot_be_deleted(clone):
    assert "cannot be deleted" in refused(clone, "origin", ":main")


def test_a_rule_protects_other_branches(clone, repo, live_rt):
    with live_rt.database.writing() as db:
        db.add(BranchRule(repo_id=repo.id, pattern="release/*"))
    clone.run("push", "-q", "origin", "HEAD:release/1")
    assert "protected branch" in refused(clone, "origin", ":release/1")


def test_one_refused_ref_refuses_all(clone):
    clone.commit({"x.txt": b"x"})
    assert "not accepted" in refused(clone, "origin", "HEAD:main", "HEAD:refs/notes/x")


def test_other_ref_families_are_refused(clone):
    for ref in ("refs/internal/x", "refs/convert/parquet", "refs/wild/x"):
        refused(clone, "origin", f"HEAD:{ref}")
    assert "open a pull request first" in refused(clone, "origin", "HEAD:refs/pr/7")


def test_a_large_regular_file_is_refused_with_a_hint(clone):
    clone.commit({"weights.bin": bytes(11 * 1024 * 1024)})
    text = refused(clone, "origin", "HEAD:main")
    assert "weights.bin" in text
    assert 'git lfs track "*.bin"' in text


def test_a_large_file_hidden_in_history_is_refused_too(clone):
    clone.commit({"weights.bin": bytes(11 * 1024 * 1024)})
    clone.run("rm", "-q", "weights.bin")
    clone.run("commit", "-q", "-m", "Remove it")
    assert "weights.bin" in refused(clone, "origin", "HEAD:main")


def test_a_broken_card_is_refused_and_the_reason_shown(clone):
    clone.commit({"README.md": b"---\nlicense: not-a-license\n---\n"})
    text = refused(clone, "origin", "HEAD:main")
    assert "remote: Invalid metadata in README.md" in text
    assert '"license" must be one of' in text


def test_a_card_that_was_broken_before_does_not_block_other_work(clone, repo, live_rt, ada):
    clone.commit({"other.txt": b"fine"})
    clone.run("push", "-q", "origin", "HEAD:main")
    clone.commit({"README.md": b"---\nlicense: [\n---\n"})
    assert "yaml" in refused(clone, "origin", "HEAD:main")


def test_names_that_differ_only_in_case_are_refused(clone):
    blob = clone.run("hash-object", "-w", "--stdin", stdin=b"x").strip()
    for name in ("Data.txt", "data.txt"):
        clone.run("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
    clone.run("commit", "-q", "-m", "Collide")
    assert "differ only in case" in refused(clone, "origin", "HEAD:main")


@pytest.mark.parametrize("name", ["a\\b", "trailing.", "tab\tname"])
def test_names_no_other_system_can_hold_are_refused(clone, name):
    blob = clone.run("hash-object", "-w", "--stdin", stdin=b"x").strip()
    clone.run("update-index", "--add", "-z", "--index-info", stdin=f"100644 {blob}\t{name}\0".encode())
    clone.run("commit", "-q", "-m", "Odd name")
    assert "remote:" in refused(clone, "origin", "HEAD:main")


def test_a_pointer_without_its_object_is_refused(clone):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"7" * 64 + b"\nsize 12\n"
    clone.commit({"model.safetensors": pointer})
    text = refused(clone, "origin", "HEAD:main")
    assert "git lfs push --all" in text
    assert "model.safetensors" in text


def test_a_reader_cannot_push(clone, git_for, repo):
    grace = git_for("grace")
    grace.run("clone", "-q", grace.url(repo.repo_name), "copy")
    copy = grace.inside("copy")
    copy.commit({"x.txt": b"x"})
    assert "403" in refused(copy, "origin", "HEAD:main")


def test_two_pushes_race_and_one_wins(clone, ada, repo):
    ada.run("clone", "-q", ada.url(repo.repo_name), "rival")
    rival = ada.inside("rival")
    rival.commit({"r.txt": b"r"})
    clone.commit({"c.txt": b"c"})
    rival.run("push", "-q", "origin", "HEAD:main")
    assert "rejected" in clone.run("push", "origin", "HEAD:main", ok=False)


def test_a_push_too_large_for_one_buffer_is_probed_and_sent_in_chunks(clone):
    head = clone.commit({"noise.dat": os.urandom(500_000)})
    clone.run("-c", "http.postBuffer=65536", "push", "-q", "origin", "HEAD:main")
    assert remote_refs(clone)["refs/heads/main"] == head
