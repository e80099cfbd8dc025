"""Rows of reading content."""

from __future__ import annotations

import os
from pathlib import Path

from huggingface_hub import HfFileSystem, hf_hub_url
from huggingface_hub.utils import EntryNotFoundError

from clients.rows import World, raises, row
from clients.rows.discovery import weights

BIG = os.urandom(200_000)
FILES = {"a.txt": b"a\n", "dir/文 1.txt": "中文".encode(), "dir/w.bin": BIG}


@row("GET /api/{T}/{id}/tree/{rev}", "list_repo_tree", "list_repo_files")
def tree(w: World) -> None:
    for kind in ("model", "dataset", "space"):
        name = w.repo(kind, files=FILES)
        found = {item.path: item for item in w.ada.list_repo_tree(name, repo_type=kind, recursive=True)}
        assert {"a.txt", "dir", "dir/w.bin", "dir/文 1.txt"} <= set(found)
        assert (found["dir/w.bin"].size, found["dir/w.bin"].lfs.size) == (len(BIG), len(BIG))
        assert found["a.txt"].lfs is None
    expanded = {item.path: item for item in w.ada.list_repo_tree(name, repo_type=kind, expand=True)}
    assert expanded["dir"].last_commit.title == "Add files"


@row("GET /api/{T}/{id}/tree/{rev}/{path}", "list_repo_tree")
def folder(w: World) -> None:
    name = w.repo("dataset", files=FILES)
    found = w.ada.list_repo_tree(name, "dir", repo_type="dataset")
    assert sorted(item.path for item in found) == ["dir/w.bin", "dir/文 1.txt"]
    nowhere = w.ada.list_repo_tree(name, "nowhere", repo_type="dataset")
    assert raises(EntryNotFoundError, lambda: list(nowhere))


@row("POST /api/{T}/{id}/paths-info/{rev}", "get_paths_info")
def paths(w: World) -> None:
    name = w.repo(files=FILES)
    found = w.ada.get_paths_info(name, ["a.txt", "dir", "dir/文 1.txt", "nothing"], expand=True)
    assert sorted(item.path for item in found) == ["a.txt", "dir", "dir/文 1.txt"]
    assert {item.last_commit.title for item in found} == {"Add files"}


@row("GET /api/{T}/{id}/refs", "list_repo_refs")
def refs(w: World) -> None:
    name = w.repo()
    w.ada.create_branch(name, branch="draft/一")
    w.ada.create_tag(name, tag="v1", tag_message="first")
    w.add(name, {"b.txt": b"b"}, create_pr=True)
    found = w.ada.list_repo_refs(name, include_pull_requests=True)
    assert sorted(branch.name for branch in found.branches) == ["draft/一", "main"]
    assert [tag.name for tag in found.tags] == ["v1"]
    assert found.converts == []
    assert [pull.ref for pull in found.pull_requests] == ["refs/pr/1"]


@row("GET /api/{T}/{id}/commits/{rev}", "list_repo_commits")
def commits(w: World) -> None:
    name = w.repo(files={"a.txt": b"a"})
    first, second = w.ada.list_repo_commits(name, formatted=True)
    assert (first.title, second.title, first.authors) == ("Add files", "initial commit", ["ada"])
    assert first.created_at.tzinfo is not None
    assert first.formatted_title


@row("HEAD /{prefix}{id}/resolve/{rev}/{path}", "get_hf_file_metadata", "file_exists")
def head(w: World) -> None:
    for kind in ("model", "dataset", "space"):
        name = w.repo(kind, files=FILES)
        sha = w.ada.repo_info(name, repo_type=kind).sha
        for path in ("a.txt", "dir/w.bin"):
            url = hf_hub_url(name, path, repo_type=kind, endpoint=w.ada.endpoint)
            found = w.ada.get_hf_file_metadata(url=url)
            assert (found.commit_hash, found.size) == (sha, len(FILES[path]))
            assert len(found.etag) == (64 if path.endswith("bin") else 40)
        assert w.ada.file_exists(name, "dir/文 1.txt", repo_type=kind)
        assert not w.ada.file_exists(name, "nothing.txt", repo_type=kind)


@row("GET /{prefix}{id}/resolve/{rev}/{path}", "hf_hub_download", "snapshot_download")
def resolve(w: World) -> None:
    for kind in ("model", "dataset", "space"):
        name = w.repo(kind, files=FILES)
        for path, data in FILES.items():
            assert Path(w.ada.hf_hub_download(name, path, repo_type=kind)).read_bytes() == data
        folder = Path(w.ada.snapshot_download(name, repo_type=kind, local_dir=w.folder / name))
        assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    if hasattr(w.ada, "verify_repo_checksums"):
        checked = w.ada.verify_repo_checksums(name, repo_type=kind, local_dir=folder)
        assert checked.checked_count >= len(FILES)
        assert not checked.mismatches
    if hasattr(w.ada, "resolve_revision"):
        sha = w.ada.repo_info(name, repo_type=kind).sha
        assert w.ada.resolve_revision(name, repo_type=kind).resolved == sha
    with HfFileSystem().open(f"spaces/{name}/dir/w.bin", "rb", block_size=50_000) as file:
        file.seek(100_001)
        assert file.read(70_000) == BIG[100_001:170_001]


@row(
    "GET /{prefix}{id}/resolve/{rev}/{path} (a range)",
    "get_safetensors_metadata",
    "parse_safetensors_file_metadata",
)
def ranges(w: World) -> None:
    name = w.repo(files={"model.safetensors": weights()})
    found = w.ada.get_safetensors_metadata(name)
    assert found.parameter_count == {"F32": 8}
    assert w.ada.parse_safetensors_file_metadata(name, "model.safetensors").tensors["w"].shape == [2, 4]
