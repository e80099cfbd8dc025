"""Reading content with the official client and plain HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, HfFileSystem, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_contract.helpers import add_regular, next_url
from kit.server import LiveServer

Make = Callable[..., str]


def test_head_of_a_regular_file_carries_the_metadata_a_download_needs(
    ada: HfApi, repo: Make, http: httpx.Client
) -> None:
    repo_id = repo()
    commit = add_regular(ada, repo_id, {"config.json": b"{}"})
    answer = http.head(f"/{repo_id}/resolve/main/config.json")
    assert answer.status_code == 200
    assert answer.headers["x-repo-commit"] == commit
    assert answer.headers["etag"] == f'"{hashlib.sha1(b"blob 2" + bytes(1) + b"{}").hexdigest()}"'
    assert answer.headers["content-length"] == "2"
    assert answer.headers["accept-ranges"] == "bytes"
    assert "content-encoding" not in answer.headers
    again = http.head(f"/{repo_id}/resolve/main/config.json")
    own = {"x-request-id", "date"}
    assert {k: v for k, v in again.headers.items() if k not in own} == {
        k: v for k, v in answer.headers.items() if k not in own
    }


def test_head_follows_a_branch_at_once(ada: HfApi, repo: Make, http: httpx.Client) -> None:
    repo_id = repo()
    for number in range(3):
        commit = add_regular(ada, repo_id, {"a.txt": f"{number}".encode()})
        for _ in range(2):
            assert http.head(f"/{repo_id}/resolve/main/a.txt").headers["x-repo-commit"] == commit
        assert http.get(f"/{repo_id}/resolve/main/a.txt").text == f"{number}"


def test_ranges_and_conditions_are_exact(ada: HfApi, repo: Make, http: httpx.Client) -> None:
    repo_id = repo()
    data = b"0123456789abcdef" * 64
    add_regular(ada, repo_id, {"a.dat": data})
    url = f"/{repo_id}/resolve/main/a.dat"
    part = http.get(url, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, data[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(data)}"
    assert http.get(url, headers={"Range": "bytes=-5"}).content == data[-5:]
    past = http.get(url, headers={"Range": "bytes=5000-"})
    assert past.status_code == 416
    assert past.headers["content-range"] == f"bytes */{len(data)}"
    etag = http.head(url).headers["etag"]
    assert http.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert http.get(url, headers={"If-None-Match": '"other"'}).content == data
    stale = http.get(url, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, data)


@pytest.mark.parametrize("name", ["page.html", "page.xhtml", "script.js", "evil.svg", "README.md"])
def test_user_files_never_run_in_a_browser(ada: HfApi, repo: Make, http: httpx.Client, name: str) -> None:
    repo_id = repo()
    add_regular(ada, repo_id, {name: b"---\nlicense: mit\n---\n<script>alert(1)</script>"})
    for verb in ("resolve", "raw"):
        answer = http.get(f"/{repo_id}/{verb}/main/{name}")
        assert answer.status_code == 200
        kind = answer.headers["content-type"].split(";")[0]
        assert kind in ("text/plain", "image/svg+xml")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]


def test_download_flag_names_the_file(ada: HfApi, repo: Make, http: httpx.Client) -> None:
    repo_id = repo()
    add_regular(ada, repo_id, {"a/模型 1.txt": b"x"})
    answer = http.get(f"/{repo_id}/resolve/main/a/模型 1.txt", params={"download": "true"})
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert "filename*=UTF-8''%E6%A8%A1%E5%9E%8B%201.txt" in answer.headers["content-disposition"]


def test_errors_carry_the_codes_the_client_reads(ada: HfApi, repo: Make, http: httpx.Client) -> None:
    repo_id = repo()
    commit = ada.list_repo_commits(repo_id)[0].commit_id
    missing = http.head(f"/{repo_id}/resolve/main/nope.txt")
    assert missing.status_code == 404
    assert missing.headers["x-error-code"] == "EntryNotFound"
    assert missing.headers["x-repo-commit"] == commit
    assert http.head(f"/{repo_id}/resolve/nope/a").headers["x-error-code"] == "RevisionNotFound"
    for path in (
        "/ada/absent/resolve/main/a",
        "/gpt2/resolve/main/config.json",
        "/datasets/squad/resolve/main/a",
    ):
        answer = http.head(path)
        assert (answer.status_code, answer.headers["x-error-code"]) == (401, "RepoNotFound")
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download(repo_id, "nope.txt", endpoint=ada.endpoint, token=ada.token)
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(repo_id, "a", revision="nope", endpoint=ada.endpoint, token=ada.token)
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("ada/absent", "a", endpoint=ada.endpoint, token=ada.token)


def test_private_files_are_not_found_by_others(
    ada: HfApi, grace: HfApi, repo: Make, http: httpx.Client
) -> None:
    repo_id = repo(visibility="private")
    add_regular(ada, repo_id, {"a.txt": b"secret"})
    url = f"/{repo_id}/resolve/main/a.txt"
    assert ada.hf_hub_download(repo_id, "a.txt")
    for _ in range(2):
        assert http.head(url).status_code == 401
    with pytest.raises(RepositoryNotFoundError):
        grace.hf_hub_download(repo_id, "b.txt")
    wrong = http.head(url, headers={"Authorization": "Bearer hf_wrong"})
    assert wrong.headers["x-error-message"] == "Invalid credentials in Authorization header"


def test_download_and_snapshot(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    files = {
        "README.md": b"---\nlicense: mit\n---\n# hi\n",
        "sub/a.txt": b"a",
        "sub/deep/ü & %20.txt": b"b",
        "empty.txt": b"",
    }
    commit = add_regular(ada, repo_id, files)
    path = hf_hub_download(repo_id, "sub/deep/ü & %20.txt", endpoint=ada.endpoint, token=ada.token)
    assert Path(path).read_bytes() == b"b"
    short = ada.hf_hub_download(repo_id, "sub/a.txt", revision=commit[:7])
    assert commit in short
    assert sorted(ada.list_repo_files(repo_id)) == sorted([".gitattributes", *files])


def test_tree_lists_what_was_committed(ada: HfApi, repo: Make, http: httpx.Client) -> None:
    repo_id = repo()
    add_regular(ada, repo_id, {"a/b/c.txt": b"1", "a/d.txt": b"22", "e.txt": b"333"})
    tree = {item.path: item for item in ada.list_repo_tree(repo_id, recursive=True, expand=True)}
    assert list(tree) == [".gitattributes", "a", "a/b", "a/b/c.txt", "a/d.txt", "e.txt"]
    assert tree["a/d.txt"].size == 2
    assert tree["a"].last_commit.title == "Add files"
    assert tree[".gitattributes"].last_commit.title == "initial commit"
    assert [item.path for item in ada.list_repo_tree(repo_id, "a")] == ["a/b", "a/d.txt"]
    with pytest.raises(EntryNotFoundError):
        list(ada.list_repo_tree(repo_id, "nope"))
    with pytest.raises(EntryNotFoundError):
        list(ada.list_repo_tree(repo_id, "e.txt"))
    with pytest.raises(RevisionNotFoundError):
        list(ada.list_repo_tree(repo_id, revision="nope"))
    info = ada.get_paths_info(repo_id, ["a", "e.txt", "nope"], expand=True)
    assert [item.path for item in info] == ["a", "e.txt"]
    json = http.post(f"/api/models/{repo_id}/paths-info/main", json={"paths": ["e.txt"], "expand": False})
    assert json.json() == [{"type": "file", "oid": tree["e.txt"].blob_id, "size": 3, "path": "e.txt"}]


def test_tree_pages_link_absolutely_and_stay_on_their_commit(
    ada: HfApi, repo: Make, http: httpx.Client
) -> None:
    repo_id = repo()
    add_regular(ada, repo_id, {f"d/{n:03}.txt": b"x" for n in range(25)})
    url: str | None = f"/api/models/{repo_id}/tree/main/d?limit=10"
    seen: list[str] = []
    while url:
        answer = http.get(url)
        seen += [item["path"] for item in answer.json()]
        link = answer.headers.get("link")
        url = next_url(link) if link else None
        add_regular(ada, repo_id, {f"d/000{len(seen)}.txt": b"later"})
    assert seen == [f"d/{n:03}.txt" for n in range(25)]


def test_history_counts_and_pages(ada: HfApi, repo: Make, http: httpx.Client) -> None:
    repo_id = repo()
    oids = [add_regular(ada, repo_id, {"a.txt": f"{n}".encode()}, message=f"no <{n}>") for n in range(5)]
    commits = ada.list_repo_commits(repo_id, formatted=True)
    assert [item.commit_id for item in commits[:-1]] == oids[::-1]
    assert commits[0].authors == ["ada"]
    assert commits[0].formatted_title == "no &lt;4&gt;"
    assert commits[-1].title == "initial commit"
    page = http.get(f"/api/models/{repo_id}/commits/main", params={"limit": 2})
    assert page.headers["x-total-count"] == "6"
    (author,) = page.json()[0]["authors"]
    assert http.get(author["avatar"]).headers["content-type"] == "image/svg+xml"
    second = http.get(next_url(page.headers["link"]))
    assert [item["id"] for item in second.json()] == [oids[2], oids[1]]


def test_compare_in_both_forms(ada: HfApi, repo: Make, http: httpx.Client) -> None:
    repo_id = repo()
    first = add_regular(ada, repo_id, {"a.txt": b"one\n", "b.txt": b"same\n"})
    second = add_regular(ada, repo_id, {"a.txt": b"two\n"})
    patch = http.get(f"/api/models/{repo_id}/compare/{first}..{second}")
    assert "-one\n+two\n" in patch.text
    raw = http.get(f"/api/models/{repo_id}/compare/{second}", params={"raw": "true"}).text
    assert raw.startswith("T 4\t:100644 100644 ")
    assert raw.endswith("... M\ta.txt\n")


def test_file_system_reads_walks_and_globs(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    add_regular(ada, repo_id, {"data/a.csv": b"x,y\n1,2\n", "data/b.csv": b"3,4\n", "c.txt": b"0123456789"})
    fs = HfFileSystem(endpoint=ada.endpoint, token=ada.token, skip_instance_cache=True)
    assert fs.ls(repo_id, detail=False) == [
        f"{repo_id}/.gitattributes",
        f"{repo_id}/c.txt",
        f"{repo_id}/data",
    ]
    assert sorted(fs.glob(f"{repo_id}/**/*.csv")) == [f"{repo_id}/data/a.csv", f"{repo_id}/data/b.csv"]
    assert [folder for folder, _, _ in fs.walk(repo_id)] == [repo_id, f"{repo_id}/data"]
    with fs.open(f"{repo_id}/c.txt", "rb", block_size=4) as file:
        file.seek(3)
        assert file.read(4) == b"3456"
    assert fs.cat_file(f"{repo_id}/c.txt", start=-3) == b"789"


def test_snapshot_of_a_dataset(
    ada: HfApi, repo: Make, server: LiveServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from llmos.core.repo_types import RepoType

    repo_id = repo(repo_type=RepoType.DATASET)
    ada.create_commit(
        repo_id,
        [CommitOperationAdd("x/y.txt", b"y")],
        commit_message="Add files",
        repo_type="dataset",
    )
    paths = {item.path for item in ada.list_repo_tree(repo_id, recursive=True, repo_type="dataset")}
    assert paths == {".gitattributes", "x", "x/y.txt"}
    assert ada.hf_hub_download(repo_id, "x/y.txt", repo_type="dataset")
