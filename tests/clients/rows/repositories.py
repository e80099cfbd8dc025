"""Rows of the life cycle and the settings of repositories."""

from __future__ import annotations

import os
from pathlib import Path

from huggingface_hub.utils import EntryNotFoundError, RepositoryNotFoundError

from clients.rows import World, raises, row, status_of

BIG = os.urandom(200_000)


@row("POST /api/repos/create", "create_repo")
def create(w: World) -> None:
    for kind in ("model", "dataset", "space"):
        name = w.repo(kind, private=True)
        again = w.ada.create_repo(name, repo_type=kind, exist_ok=True, space_sdk="static")
        assert (again.repo_id, again.repo_type) == (name, kind)
        assert status_of(lambda n=name, k=kind: w.ada.create_repo(n, repo_type=k, space_sdk="static")) == 409
        titles = [commit.title for commit in w.ada.list_repo_commits(name, repo_type=kind)]
        assert titles == ["initial commit"]
    assert status_of(lambda: w.ada.create_repo("grace/mine")) == 403


@row("DELETE /api/repos/delete", "delete_repo")
def delete(w: World) -> None:
    name = w.repo("dataset")
    assert w.ada.repo_exists(name, repo_type="dataset")
    w.ada.delete_repo(name, repo_type="dataset")
    assert not w.ada.repo_exists(name, repo_type="dataset")
    w.ada.delete_repo(name, repo_type="dataset", missing_ok=True)
    assert raises(RepositoryNotFoundError, lambda: w.ada.delete_repo(name, repo_type="dataset"))


@row("POST /api/repos/move", "move_repo")
def move(w: World) -> None:
    old, new = w.repo(files={"a.txt": b"a"}), w.name("moved")
    w.ada.move_repo(old, new)
    assert w.ada.model_info(old).id == new
    assert Path(w.ada.hf_hub_download(old, "a.txt")).read_text() == "a"
    assert status_of(lambda: w.ada.move_repo(new, w.repo())) == 409


@row("PUT /api/{T}/{id}/settings", "update_repo_settings")
def settings(w: World) -> None:
    for kind in ("model", "dataset"):
        name = w.repo(kind)
        w.ada.update_repo_settings(name, repo_type=kind, private=True, gated="manual")
        info = w.ada.repo_info(name, repo_type=kind)
        assert (info.private, info.gated) == (True, "manual")
        w.ada.update_repo_settings(name, repo_type=kind, gated=False)
        assert w.ada.repo_info(name, repo_type=kind).gated is False
    if hasattr(w.ada, "update_repo_visibility"):
        assert w.ada.update_repo_visibility(name, repo_type=kind, private=False)["private"] is False
        assert w.grace.repo_info(name, repo_type=kind).private is False


@row("POST /api/{T}/{id}/duplicate", "duplicate_repo")
def duplicate(w: World) -> None:
    source, target = w.repo(files={"a.txt": b"a", "w.bin": BIG}), w.name("copy")
    assert w.ada.duplicate_repo(source, target).repo_id == target
    assert sorted(w.ada.list_repo_files(target)) == [".gitattributes", "a.txt", "w.bin"]
    assert w.ada.duplicate_repo(source, target, exist_ok=True).repo_id == target
    assert status_of(lambda: w.ada.duplicate_repo(source, target)) == 409


@row("POST /api/spaces/{id}/duplicate", "duplicate_space")
def duplicate_space(w: World) -> None:
    source, target = w.repo("space", files={"index.html": b"<p>hi</p>"}), w.name("copy")
    assert w.ada.duplicate_space(source, target).repo_id == target
    assert "index.html" in w.ada.list_repo_files(target, repo_type="space")


@row("GET /api/settings/repositories", "list_user_repos")
def own_repositories(w: World) -> None:
    name = w.repo("dataset", files={"w.bin": BIG})
    found = next(item for item in w.ada.list_user_repos() if item.id == name)
    assert found.type == "dataset"
    assert found.storage >= len(BIG)


@row("GET /api/organizations/{org}/settings/repositories", "list_user_repos")
def repositories_of_an_organisation(w: World) -> None:
    name = "lab" + w.name().removeprefix("ada")
    w.ada.create_repo(name)
    assert name in [item.id for item in w.ada.list_user_repos("lab")]
    assert status_of(lambda: list(w.grace.list_user_repos("lab"))) in (403, 404)


@row("GET /api/{T}/{id}/lfs-files", "list_lfs_files")
def lfs_files(w: World) -> None:
    name = w.repo("dataset", files={"data/w.bin": BIG, "a.txt": b"a"})
    (found,) = w.ada.list_lfs_files(name, repo_type="dataset")
    assert (found.filename, found.size, found.ref in ("main", "refs/heads/main")) == (
        "data/w.bin", len(BIG), True,
    )  # fmt: skip


@row("POST /api/{T}/{id}/lfs-files/batch", "permanently_delete_lfs_files")
def delete_lfs_files(w: World) -> None:
    name = w.repo(files={"gone.bin": BIG, "kept.txt": b"k"})
    w.ada.permanently_delete_lfs_files(name, w.ada.list_lfs_files(name))
    assert list(w.ada.list_lfs_files(name)) == []
    assert "kept.txt" in w.ada.list_repo_files(name)
    assert raises(EntryNotFoundError, lambda: w.ada.hf_hub_download(name, "gone.bin"))


@row("POST /api/{T}/{id}/lfs-files/duplicate", "copy_files")
def lend_lfs_files(w: World) -> None:
    source, target = w.repo(), w.repo("dataset")
    weights = w.folder / "w.bin"
    weights.write_bytes(BIG)
    w.ada.upload_file(path_or_fileobj=weights, path_in_repo="w.bin", repo_id=source)
    w.ada.copy_files(f"hf://{source}/w.bin", f"hf://datasets/{target}/copied.bin")
    got = w.ada.hf_hub_download(target, "copied.bin", repo_type="dataset")
    assert Path(got).read_bytes() == BIG
