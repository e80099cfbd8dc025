"""Rows of writing content."""

from __future__ import annotations

import io
import os
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
from huggingface_hub.utils import RevisionNotFoundError

from clients.rows import World, raises, row, status_of


def big() -> bytes:
    return os.urandom(200_000)


@row("POST /api/{T}/{id}/preupload/{rev}", "upload_file", "preupload_lfs_files")
def preupload(w: World) -> None:
    name, data = w.repo(), big()
    added = CommitOperationAdd("w.bin", io.BytesIO(data))
    w.ada.preupload_lfs_files(name, [added])
    done = w.ada.create_commit(name, [added], commit_message="Add weights")
    assert w.ada.get_paths_info(name, "w.bin")[0].size == len(data)
    again = w.ada.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=name)
    assert again.oid == done.oid, "the same bytes make no commit"


@row("POST /api/{T}/{id}/commit/{rev}", "create_commit", "delete_file", "delete_files", "delete_folder")
def commit(w: World) -> None:
    for kind in ("model", "dataset", "space"):
        files = {"a.txt": b"a", "b.txt": b"b", "c.log": b"c", "d/e.txt": b"e", "w.bin": big()}
        name = w.repo(kind, files=files)
        parent = w.ada.repo_info(name, repo_type=kind).sha
        copies = [CommitOperationCopy("w.bin", "copied.bin"), CommitOperationDelete("b.txt")]
        done = w.ada.create_commit(
            name, copies, commit_message="Copy and delete", repo_type=kind, parent_commit=parent
        )
        assert done.commit_url.endswith(done.oid)
        stale = [CommitOperationAdd("late.txt", b"late")]
        late = {"commit_message": "Late", "repo_type": kind, "parent_commit": parent}
        assert status_of(lambda n=name, s=stale, o=late: w.ada.create_commit(n, s, **o)) == 412
        w.ada.delete_file("a.txt", name, repo_type=kind)
        w.ada.delete_files(name, ["*.log"], repo_type=kind)
        w.ada.delete_folder("d", name, repo_type=kind)
        left = set(w.ada.list_repo_files(name, repo_type=kind)) - {".gitattributes", "README.md"}
        assert left == {"w.bin", "copied.bin"}
        pull = w.add(name, {"p.txt": b"p"}, repo_type=kind, create_pr=True)
        assert (pull.pr_num, pull.pr_revision) == (1, "refs/pr/1")
        w.add(name, {"q.txt": b"q"}, repo_type=kind, revision="refs/pr/1")
        assert "q.txt" in w.ada.list_repo_files(name, repo_type=kind, revision="refs/pr/1")


@row("POST /{prefix}{id}.git/info/lfs/objects/batch", "upload_folder", "upload_file")
def lfs(w: World) -> None:
    name, data = w.repo("dataset"), big()
    w.add(name, {"w.bin": data}, repo_type="dataset")
    got = w.ada.hf_hub_download(name, "w.bin", repo_type="dataset")
    assert Path(got).read_bytes() == data


@row("POST /api/{T}/{id}/commit/{rev} (a folder)", "upload_folder")
def upload_folder(w: World) -> None:
    source = w.folder / "source"
    for path in ("keep.txt", "skip.log", "d/w.bin"):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(big() if path.endswith("bin") else b"x")
    name = w.repo()
    w.ada.upload_folder(repo_id=name, folder_path=source, ignore_patterns="*.log")
    assert sorted(w.ada.list_repo_files(name)) == [".gitattributes", "d/w.bin", "keep.txt"]
    later = w.ada.upload_file(
        repo_id=name, path_or_fileobj=b"later", path_in_repo="later.txt", run_as_future=True
    )
    assert later.result().oid == w.ada.run_as_future(w.ada.model_info, name).result().sha


@row("POST /api/{T}/{id}/commit/{rev} (a large folder)", "upload_large_folder")
def large_folder(w: World) -> None:
    source = w.folder / "large"
    source.mkdir()
    (source / "a.txt").write_text("a")
    (source / "w.bin").write_bytes(big())
    name = w.repo("dataset")
    w.ada.upload_large_folder(name, source, repo_type="dataset", num_workers=1, print_report=False)
    assert {"a.txt", "w.bin"} <= set(w.ada.list_repo_files(name, repo_type="dataset"))
    assert len(w.ada.list_repo_commits(name, repo_type="dataset")) >= 2


@row("POST /api/{T}/{id}/super-squash/{branch}", "super_squash_history")
def squash(w: World) -> None:
    name = w.repo(files={"a.txt": b"a"})
    w.ada.create_branch(name, branch="kept")
    w.ada.super_squash_history(name, commit_message="One")
    assert [commit.title for commit in w.ada.list_repo_commits(name)] == ["One"]
    assert len(w.ada.list_repo_commits(name, revision="kept")) == 2


@row("POST /api/{T}/{id}/branch/{branch}", "create_branch")
def create_branch(w: World) -> None:
    name = w.repo("dataset")
    sha = w.ada.dataset_info(name).sha
    w.ada.create_branch(name, branch="draft", repo_type="dataset", revision=sha)
    w.ada.create_branch(name, branch="draft", repo_type="dataset", exist_ok=True)
    assert status_of(lambda: w.ada.create_branch(name, branch="draft", repo_type="dataset")) == 409
    assert status_of(lambda: w.ada.create_branch(name, branch="a..b", repo_type="dataset")) == 400


@row("DELETE /api/{T}/{id}/branch/{branch}", "delete_branch")
def delete_branch(w: World) -> None:
    name = w.repo()
    w.ada.create_branch(name, branch="draft")
    w.ada.delete_branch(name, branch="draft")
    assert [branch.name for branch in w.ada.list_repo_refs(name).branches] == ["main"]
    assert status_of(lambda: w.ada.delete_branch(name, branch="draft")) == 404
    assert status_of(lambda: w.ada.delete_branch(name, branch="main")) in (400, 403)


@row("POST /api/{T}/{id}/tag/{rev}", "create_tag")
def create_tag(w: World) -> None:
    name = w.repo("space")
    w.ada.create_tag(name, tag="v1", tag_message="first", repo_type="space")
    w.ada.create_tag(name, tag="v1", repo_type="space", exist_ok=True)
    assert status_of(lambda: w.ada.create_tag(name, tag="v1", repo_type="space")) == 409
    missing = {"tag": "v2", "revision": "nowhere", "repo_type": "space"}
    assert raises(RevisionNotFoundError, lambda: w.ada.create_tag(name, **missing))


@row("DELETE /api/{T}/{id}/tag/{tag}", "delete_tag")
def delete_tag(w: World) -> None:
    name = w.repo()
    w.ada.create_tag(name, tag="v1")
    w.ada.delete_tag(name, tag="v1")
    assert w.ada.list_repo_refs(name).tags == []
    assert raises(RevisionNotFoundError, lambda: w.ada.delete_tag(name, tag="v1"))
