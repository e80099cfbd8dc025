"""Commits through the official client: what they write, refuse and survive."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RevisionNotFoundError,
)

from hf_contract.helpers import add_regular
from kit.server import LiveServer
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.infra.runtime import Runtime

# The client's own way of sending a file is deprecated by its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

Make = Callable[..., str]
CONFLICT = "The branch was updated since you opened this page. Please refresh and try again."


def paths(api: HfApi, repo_id: str, **options: str) -> list[str]:
    return [item.path for item in api.list_repo_tree(repo_id, recursive=True, **options)]  # type: ignore[arg-type]


def git(server_rt: Runtime, repo_id: str, *args: str) -> str:
    """What the real git program says about the repository."""
    with server_rt.database.reading() as db:
        row = db.query(Repo).filter(Repo.name == repo_id.split("/")[1]).one()
        folder = git_path(server_rt, row)
    done = subprocess.run(["git", "-C", str(folder), *args], check=True, capture_output=True, text=True)
    return done.stdout


def test_a_commit_is_sound_git_in_the_names_of_author_and_site(
    ada: HfApi, repo: Make, server_rt: Runtime
) -> None:
    repo_id = repo()
    info = ada.create_commit(
        repo_id,
        [CommitOperationAdd("ü/模型 1.txt", b"x\n"), CommitOperationAdd("b.txt", b"")],
        commit_message="Two files",
        commit_description="With a description.",
    )
    assert info.commit_url == f"{ada.endpoint}/{repo_id}/commit/{info.oid}"
    assert git(server_rt, repo_id, "fsck", "--strict", "--full") == ""
    shown = git(server_rt, repo_id, "log", "-1", "--format=%H|%an|%ae|%cn|%B", "main")
    assert shown == f"{info.oid}|ada|ada@users.noreply.localhost|LLMOS|Two files\n\nWith a description.\n\n"
    assert git(server_rt, repo_id, "show", "main:ü/模型 1.txt") == "x\n"


def test_large_files_go_through_lfs_and_come_back(ada: HfApi, repo: Make, tmp_path: Path) -> None:
    repo_id = repo()
    data = bytes(range(256)) * 100
    ada.upload_file(path_or_fileobj=data, path_in_repo="w/model.bin", repo_id=repo_id)
    ada.upload_file(path_or_fileobj=data, path_in_repo="odd name [1].xyz", repo_id=repo_id)
    info = ada.get_paths_info(repo_id, ["w/model.bin"])[0]
    assert info.lfs is not None
    assert info.lfs.size == len(data)
    assert Path(ada.hf_hub_download(repo_id, "odd name [1].xyz")).read_bytes() == data
    attributes = Path(ada.hf_hub_download(repo_id, ".gitattributes")).read_text()
    assert "/odd[[:space:]]name[[:space:]][[]1].xyz filter=lfs diff=lfs merge=lfs -text" in attributes
    ada.create_commit(
        repo_id,
        [CommitOperationCopy("w/model.bin", "copy.bin")],
        commit_message="Copy",
    )
    assert ada.get_paths_info(repo_id, ["copy.bin"])[0].lfs == info.lfs


def test_lfs_content_over_ranges_and_raw_pointers(ada: HfApi, repo: Make, http: httpx.Client) -> None:
    repo_id = repo()
    data = bytes(range(256)) * 100
    ada.upload_file(path_or_fileobj=data, path_in_repo="model.bin", repo_id=repo_id)
    head = http.head(f"/{repo_id}/resolve/main/model.bin")
    assert head.headers["etag"] == head.headers["x-linked-etag"]
    assert head.headers["x-linked-size"] == head.headers["content-length"] == str(len(data))
    part = http.get(f"/{repo_id}/resolve/main/model.bin", headers={"Range": "bytes=100-299"})
    assert (part.status_code, part.content) == (206, data[100:300])
    assert http.get(f"/{repo_id}/raw/main/model.bin").text.startswith("version https://git-lfs")


def test_an_object_nobody_uploaded_here_is_refused(ada: HfApi, repo: Make, as_ada: httpx.Client) -> None:
    first, second = repo(), repo()
    ada.upload_file(path_or_fileobj=bytes(range(256)), path_in_repo="a.bin", repo_id=first)
    oid = ada.get_paths_info(first, ["a.bin"])[0].lfs.sha256  # type: ignore[union-attr]
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 256\n"
    for line in (
        f'{{"key":"lfsFile","value":{{"path":"a.bin","algo":"sha256","oid":"{oid}","size":256}}}}',
        f'{{"key":"file","value":{{"path":"a.txt","content":{pointer!r}}}}}'.replace("'", '"'),
    ):
        body = '{"key":"header","value":{"summary":"x"}}\n' + line
        answer = as_ada.post(f"/api/models/{second}/commit/main", content=body)
        assert answer.status_code == 400
        assert "upload it" in answer.json()["error"]
    assert paths(ada, second) == [".gitattributes"]


def test_upload_folder_honours_gitignore(ada: HfApi, repo: Make, tmp_path: Path) -> None:
    repo_id = repo()
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.txt", "sub/b.txt", "sub/c.log"):
        (folder / name).write_text(name)
    (folder / ".gitignore").write_text("*.log\n")
    ada.upload_folder(repo_id=repo_id, folder_path=folder)
    assert paths(ada, repo_id) == [".gitattributes", ".gitignore", "a.txt", "sub", "sub/b.txt"]
    head = ada.list_repo_commits(repo_id)[0].commit_id
    again = ada.upload_folder(repo_id=repo_id, folder_path=folder)
    assert again.oid == head


def test_deletes_renames_and_replacing_a_file_by_a_folder(
    ada: HfApi, repo: Make, as_ada: httpx.Client
) -> None:
    repo_id = repo()
    add_regular(ada, repo_id, {"1/a": b"1", "1/b": b"2", "2": b"3", "keep": b"4", "old": b"5"})
    ada.delete_folder("1", repo_id)
    ada.delete_file("keep", repo_id)
    ada.create_commit(
        repo_id,
        [CommitOperationDelete("2"), CommitOperationAdd("2/now-a-folder", b"x")],
        commit_message="Swap",
    )
    body = (
        '{"key":"header","value":{"summary":"rename","description":""}}\n'
        '{"key":"file","value":{"path":"new","content":"5","oldPath":"old"}}'
    )
    assert as_ada.post(f"/api/models/{repo_id}/commit/main", content=body).status_code == 200
    assert paths(ada, repo_id) == [".gitattributes", "2", "2/now-a-folder", "new"]
    with pytest.raises(RemoteEntryNotFoundError, match="A file with this name doesn't exist"):
        ada.delete_file("keep", repo_id)


def test_a_lost_answer_may_be_asked_for_again(ada: HfApi, repo: Make, as_ada: httpx.Client) -> None:
    repo_id = repo()
    add_regular(ada, repo_id, {"a": b"1"})
    body = (
        '{"key":"header","value":{"summary":"change"}}\n'
        '{"key":"deletedFile","value":{"path":"a"}}\n{"key":"file","value":{"path":"b","content":"2"}}\n'
    )
    answers = [as_ada.post(f"/api/models/{repo_id}/commit/main", content=body).json() for _ in range(3)]
    assert len({answer["commitOid"] for answer in answers}) == 1
    assert len(ada.list_repo_commits(repo_id)) == 3


def test_a_stale_parent_is_refused(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    parent = ada.list_repo_commits(repo_id)[0].commit_id
    first = add_regular(ada, repo_id, {"a": b"1"}, parent_commit=parent[:8])
    with pytest.raises(HfHubHTTPError, match=CONFLICT) as caught:
        add_regular(ada, repo_id, {"a": b"2"}, parent_commit=parent)
    assert caught.value.response.status_code == 412
    assert add_regular(ada, repo_id, {"a": b"2"}, parent_commit=first)


@pytest.mark.parametrize(
    "path", ["..\\ddd", "../x", "a//b", ".git/config", "a/.GIT/x", "a\u0000b", "x" * 300, "/abs", "a/"]
)
def test_impossible_paths_are_unprocessable(repo: Make, as_ada: httpx.Client, path: str) -> None:
    import json

    repo_id = repo()
    lines = [
        {"key": "header", "value": {"summary": "x"}},
        {"key": "file", "value": {"path": path, "content": "x"}},
    ]
    body = "\n".join(json.dumps(line) for line in lines)
    assert as_ada.post(f"/api/models/{repo_id}/commit/main", content=body).status_code == 422


def test_names_that_differ_only_in_case_are_refused(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    add_regular(ada, repo_id, {"Readme.txt": b"1"})
    with pytest.raises(HfHubHTTPError, match="differ only in case"):
        add_regular(ada, repo_id, {"readme.txt": b"2"})


def test_strange_but_legal_names_survive(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    names = ["a?b", "100%", "c:d", "e,f", "g h", "i#j", "k&l=m", "%2F", "日本/語"]
    add_regular(ada, repo_id, {name: name.encode() for name in names})
    for name in names:
        if ":" in name:
            continue  # the client itself refuses to write such a file
        assert Path(ada.hf_hub_download(repo_id, name)).read_bytes() == name.encode()
    assert {item.path for item in ada.get_paths_info(repo_id, names)} == set(names)


def test_a_card_with_errors_is_refused(repo: Make, as_ada: httpx.Client) -> None:
    repo_id = repo()
    body = (
        '{"key":"header","value":{"summary":"x"}}\n'
        '{"key":"file","value":{"path":"README.md","content":"---\\nlicense: nope\\n---\\n"}}'
    )
    answer = as_ada.post(f"/api/models/{repo_id}/commit/main", content=body)
    assert answer.status_code == 400
    assert '"license" must be one of' in answer.json()["errors"][0]["message"]


def test_too_large_regular_files_are_refused_with_advice(repo: Make, as_ada: httpx.Client) -> None:
    import base64

    repo_id = repo()
    for size in (11 * 1024 * 1024, 40 * 1024 * 1024):
        content = base64.b64encode(bytes(size)).decode()
        body = (
            '{"key":"header","value":{"summary":"x"}}\n'
            f'{{"key":"file","value":{{"content":"{content}","path":"big.txt","encoding":"base64"}}}}\n'
        )
        answer = as_ada.post(f"/api/models/{repo_id}/commit/main", content=body)
        assert answer.status_code == 413
        assert "LFS or Xet" in answer.json()["error"]


def test_who_may_commit(ada: HfApi, grace: HfApi, repo: Make, http: httpx.Client) -> None:
    repo_id = repo()
    with pytest.raises(HfHubHTTPError) as caught:
        add_regular(grace, repo_id, {"a": b"1"})
    assert caught.value.response.status_code == 403
    assert http.post(f"/api/models/{repo_id}/commit/main", content=b"{}").status_code == 401
    with pytest.raises(RevisionNotFoundError):
        add_regular(ada, repo_id, {"a": b"1"}, revision="nope")


def test_a_reader_opens_a_pull_request_and_adds_to_it(ada: HfApi, grace: HfApi, repo: Make) -> None:
    repo_id = repo()
    operations = [CommitOperationAdd("idea.txt", b"1")]
    info = grace.create_commit(repo_id, operations, commit_message="An idea", create_pr=True)
    assert (info.pr_num, info.pr_revision) == (1, "refs/pr/1")
    assert info.pr_url == f"{ada.endpoint}/{repo_id}/discussions/1"
    add_regular(grace, repo_id, {"more.txt": b"2"}, revision="refs/pr/1")
    assert paths(ada, repo_id, revision="refs/pr/1") == [".gitattributes", "idea.txt", "more.txt"]
    assert paths(ada, repo_id) == [".gitattributes"]
    refs = ada.list_repo_refs(repo_id, include_pull_requests=True)
    assert [ref.ref for ref in refs.pull_requests or []] == ["refs/pr/1"]
    more = [CommitOperationAdd("x.txt", b"1")]
    with pytest.raises(RevisionNotFoundError):
        grace.create_commit(repo_id, more, commit_message="x", create_pr=True, revision=info.oid)


def test_preupload_answers_by_attributes_size_and_sample(repo: Make, as_ada: httpx.Client) -> None:
    import base64

    repo_id = repo()
    asked = {
        "lfs.bin": (7, b"text"),
        "small.txt": (9 * 1024 * 1024, b"text"),
        "large.txt": (10 * 1024 * 1024 + 1, b"text"),
        "image.dat": (100, b"\x00\x01\x02"),
        "empty.bin": (0, b""),
        "x.log": (3, b"log"),
    }
    files = [
        {"path": path, "size": size, "sample": base64.b64encode(sample).decode()}
        for path, (size, sample) in asked.items()
    ]
    body = {"files": files, "gitIgnore": "*.log"}
    answer = as_ada.post(f"/api/models/{repo_id}/preupload/main", json=body).json()
    modes = {item["path"]: item["uploadMode"] for item in answer["files"]}
    assert modes == {
        "lfs.bin": "lfs",
        "small.txt": "regular",
        "large.txt": "lfs",
        "image.dat": "lfs",
        "empty.bin": "regular",
        "x.log": "regular",
    }
    assert [item["path"] for item in answer["files"] if item["shouldIgnore"]] == ["x.log"]


def test_branches_and_tags(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    first = ada.list_repo_commits(repo_id)[0].commit_id
    add_regular(ada, repo_id, {"a": b"1"})
    ada.create_branch(repo_id, branch="feature/x", revision=first)
    with pytest.raises(HfHubHTTPError, match="Reference refs/heads/feature/x already exists") as caught:
        ada.create_branch(repo_id, branch="feature/x")
    assert caught.value.response.status_code == 409
    ada.create_branch(repo_id, branch="feature/x", exist_ok=True)
    with pytest.raises(BadRequestError, match="Invalid reference for a branch"):
        ada.create_branch(repo_id, branch="a..b")
    with pytest.raises(RevisionNotFoundError):
        ada.create_branch(repo_id, branch="y", revision="nope")
    assert paths(ada, repo_id, revision="feature/x") == [".gitattributes"]
    ada.create_tag(repo_id, tag="v1", tag_message="First", revision=first)
    ada.create_tag(repo_id, tag="feature/x", revision="main")
    with pytest.raises(HfHubHTTPError) as caught:
        ada.create_tag(repo_id, tag="v1")
    assert caught.value.response.status_code == 409
    refs = ada.list_repo_refs(repo_id)
    assert {tag.name: tag.target_commit for tag in refs.tags}["v1"] == first
    ada.delete_tag(repo_id, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        ada.delete_tag(repo_id, tag="main")
    ada.delete_branch(repo_id, branch="feature/x")
    with pytest.raises(HfHubHTTPError, match="Cannot delete refs/heads/main"):
        ada.delete_branch(repo_id, branch="main")
    with pytest.raises(HfHubHTTPError, match="Invalid rev id"):
        ada.delete_branch(repo_id, branch="feature/x")


def test_super_squash_leaves_one_commit_and_other_branches(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    for number in range(3):
        add_regular(ada, repo_id, {"a": f"{number}".encode()})
    ada.create_branch(repo_id, branch="kept")
    ada.super_squash_history(repo_id, commit_message="All of it")
    assert [commit.title for commit in ada.list_repo_commits(repo_id)] == ["All of it"]
    assert len(ada.list_repo_commits(repo_id, revision="kept")) == 4
    assert paths(ada, repo_id) == [".gitattributes", "a"]


def test_two_committers_lose_nothing(ada: HfApi, grace: HfApi, repo: Make, server: LiveServer) -> None:
    repo_id = repo()
    failures: list[BaseException] = []

    def work(who: int) -> None:
        headers = {"Authorization": f"Bearer {server.tokens['ada']}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
            for number in range(10):
                body = (
                    f'{{"key":"header","value":{{"summary":"{who}-{number}"}}}}\n'
                    f'{{"key":"file","value":{{"path":"{who}/{number}.txt","content":"x"}}}}'
                )
                answer = client.post(f"/api/models/{repo_id}/commit/main", content=body)
                if answer.status_code != 200:
                    failures.append(AssertionError(answer.text))

    threads = [threading.Thread(target=work, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len([path for path in paths(ada, repo_id) if path.endswith(".txt")]) == 40
    assert len(ada.list_repo_commits(repo_id)) == 41


def test_ten_thousand_files_in_one_commit(ada: HfApi, repo: Make, as_ada: httpx.Client) -> None:
    repo_id = repo()
    lines = ['{"key":"header","value":{"summary":"many"}}']
    lines += [
        f'{{"key":"file","value":{{"path":"d/{number:05}.txt","content":"{number}"}}}}'
        for number in range(10_000)
    ]
    answer = as_ada.post(f"/api/models/{repo_id}/commit/main", content="\n".join(lines))
    assert answer.status_code == 200, answer.text
    assert len(paths(ada, repo_id)) == 10_002
    first = as_ada.get(f"/api/models/{repo_id}/tree/main/d")
    assert len(first.json()) == 1000
