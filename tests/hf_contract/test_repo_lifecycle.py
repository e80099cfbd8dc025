"""Creating, deleting, moving and duplicating repositories with the official client."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from kit.server import LiveServer

Make = Callable[..., str]


def fresh(prefix: str = "life") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.mark.parametrize("repo_type", ["model", "dataset", "space", "kernel"])
def test_a_new_repository_has_one_commit_and_lives_where_its_url_says(
    ada: HfApi, server: LiveServer, repo_type: str
) -> None:
    name = fresh()
    options = {"space_sdk": "static"} if repo_type == "space" else {}
    url = ada.create_repo(name, repo_type=repo_type, **options)
    assert (url.repo_id, url.repo_type) == (f"ada/{name}", repo_type)
    assert url.startswith(server.url)
    if repo_type == "kernel":
        assert ada.kernel_info(url.repo_id).sha
        return
    commits = ada.list_repo_commits(url.repo_id, repo_type=repo_type)
    assert [commit.title for commit in commits] == ["initial commit"]
    assert ".gitattributes" in ada.list_repo_files(url.repo_id, repo_type=repo_type)


def test_creating_twice_conflicts_and_exist_ok_returns_the_same_url(ada: HfApi) -> None:
    name = fresh()
    first = ada.create_repo(name)
    with pytest.raises(HfHubHTTPError) as refused:
        ada.create_repo(name)
    assert refused.value.response.status_code == 409
    assert f"A model repository called ada/{name} already exists" in str(refused.value)
    assert ada.create_repo(name, exist_ok=True) == first
    assert ada.create_repo(f"Ada/{name.upper()}", exist_ok=True) == first


def test_one_name_serves_once_per_type(ada: HfApi) -> None:
    name = fresh()
    assert ada.create_repo(name).repo_type == "model"
    assert ada.create_repo(name, repo_type="dataset").repo_type == "dataset"


def test_a_licence_gives_a_card(as_ada: httpx.Client, ada: HfApi) -> None:
    name = fresh()
    answer = as_ada.post("/api/repos/create", json={"name": name, "organization": "ada", "license": "mit"})
    assert answer.status_code == 200
    info = ada.model_info(f"ada/{name}")
    assert info.card_data is not None
    assert info.card_data.license == "mit"
    assert "license:mit" in (info.tags or [])


def test_files_given_with_the_creation_are_in_the_first_commit(as_ada: httpx.Client, ada: HfApi) -> None:
    name = fresh()
    files = [
        {"path": "hello.txt", "content": "hello"},
        {"path": "data/raw.dat", "content": "AAE=", "encoding": "base64"},
    ]
    assert as_ada.post("/api/repos/create", json={"name": name, "files": files}).status_code == 200
    sizes = {
        item.rfilename: item.size
        for item in ada.model_info(f"ada/{name}", files_metadata=True).siblings or []
    }
    assert sizes["hello.txt"] == 5
    assert sizes["data/raw.dat"] == 2


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "with space"}, "valid name"),
        ({"name": "a--b"}, "valid name"),
        ({"name": "x.git"}, "git"),
        ({"name": ""}, "name is missing"),
        ({}, "name is missing"),
        ({"name": ["a"]}, "name is missing"),
        ({"name": "ok", "type": "bucket"}, "type must be one of"),
        ({"name": "ok", "visibility": "secret"}, "visibility must be one of"),
        ({"name": "ok", "visibility": "protected"}, "Spaces only"),
        ({"name": "ok", "private": "yes"}, "private must be"),
        ({"name": "ok", "type": "space", "sdk": "cobol"}, "sdk must be one of"),
        ({"name": "ok", "files": [{"path": "../x", "content": ""}]}, "segment"),
        ({"name": "ok", "files": [{"path": "x", "content": "%%", "encoding": "base64"}]}, "base64"),
    ],
)
def test_a_malformed_creation_says_what_to_change(
    as_ada: httpx.Client, body: dict[str, object], words: str
) -> None:
    answer = as_ada.post("/api/repos/create", json=body)
    assert answer.status_code in (400, 422)
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("caller", "status"), [("anonymous", 401), ("grace", 403), ("ada", 200), ("root-admin", 200)]
)
def test_only_members_create_in_an_organisation(server: LiveServer, caller: str, status: int) -> None:
    headers = {} if caller == "anonymous" else {"Authorization": f"Bearer {server.tokens[caller]}"}
    body = {"name": fresh("org"), "organization": "lab"}
    answer = httpx.post(f"{server.url}/api/repos/create", json=body, headers=headers)
    assert answer.status_code == status, answer.text


def test_a_wrong_token_is_told_so(http: httpx.Client) -> None:
    answer = http.post("/api/repos/create", json={"name": "x"}, headers={"Authorization": "Bearer hf_wrong"})
    assert answer.status_code == 401
    assert answer.headers["X-Error-Message"] == "Invalid credentials in Authorization header"


def test_deleting_frees_the_name_at_once(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    ada.delete_repo(repo_id)
    with pytest.raises(RepositoryNotFoundError):
        ada.model_info(repo_id)
    with pytest.raises(RepositoryNotFoundError):
        ada.delete_repo(repo_id)
    ada.delete_repo(repo_id, missing_ok=True)
    assert ada.create_repo(repo_id).repo_id == repo_id


def test_a_missing_single_word_id_cannot_be_deleted(ada: HfApi) -> None:
    with pytest.raises(RepositoryNotFoundError):
        ada.delete_repo("missing_repo_id")


@pytest.mark.parametrize("caller", ["anonymous", "grace"])
def test_strangers_delete_nothing(server: LiveServer, repo: Make, ada: HfApi, caller: str) -> None:
    public, private = repo(), repo(visibility="private")
    headers = {} if caller == "anonymous" else {"Authorization": f"Bearer {server.tokens[caller]}"}
    for repo_id, expected in ((public, {401, 403}), (private, {401, 404})):
        organization, name = repo_id.split("/")
        body = {"name": name, "organization": organization}
        answer = httpx.request("DELETE", f"{server.url}/api/repos/delete", json=body, headers=headers)
        assert answer.status_code in expected
        assert ada.repo_exists(repo_id)


def test_a_moved_repository_answers_under_both_names_until_the_old_one_is_taken(
    ada: HfApi, repo: Make
) -> None:
    old = repo()
    ada.upload_file(path_or_fileobj=b"hello", path_in_repo="hello.txt", repo_id=old)
    new = f"lab/{fresh('moved')}"
    ada.move_repo(old, new)
    assert ada.model_info(new).id == new
    assert ada.model_info(old).id == new
    assert Path(ada.hf_hub_download(old, "hello.txt")).read_bytes() == b"hello"
    ada.create_repo(old)
    assert ada.model_info(old).id == old


def test_moving_back_frees_the_alias(ada: HfApi, repo: Make) -> None:
    old = repo(visibility="private")
    new = f"ada/{fresh('moved')}"
    ada.move_repo(old, new)
    ada.move_repo(new, old)
    assert ada.model_info(old).id == old
    assert ada.model_info(new).id == old


def test_moving_onto_a_taken_name_is_refused(ada: HfApi, repo: Make) -> None:
    first, second = repo(), repo()
    with pytest.raises(HfHubHTTPError, match=f"A model repository called {second} already exists"):
        ada.move_repo(first, second)


def test_a_private_old_name_tells_strangers_nothing(ada: HfApi, grace: HfApi, repo: Make) -> None:
    old = repo(visibility="private")
    ada.move_repo(old, f"ada/{fresh('moved')}")
    with pytest.raises(RepositoryNotFoundError):
        grace.model_info(old)


def test_changing_only_the_case_of_a_name(ada: HfApi, repo: Make) -> None:
    old = repo()
    new = old.replace("content", "Content")
    ada.move_repo(old, new)
    assert ada.model_info(old).id == new


def test_only_owners_move(grace: HfApi, repo: Make) -> None:
    repo_id = repo()
    with pytest.raises(HfHubHTTPError) as refused:
        grace.move_repo(repo_id, f"grace/{fresh()}")
    assert refused.value.response.status_code == 403


def test_nobody_moves_a_repository_into_a_namespace_of_others(grace: HfApi) -> None:
    repo_id = grace.create_repo(fresh()).repo_id
    with pytest.raises(HfHubHTTPError) as refused:
        grace.move_repo(repo_id, f"lab/{fresh()}")
    assert refused.value.response.status_code == 403


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # the client's own LFS upload
def test_a_duplicate_has_files_and_history_and_goes_its_own_way(ada: HfApi, grace: HfApi, repo: Make) -> None:
    source = repo()
    ada.upload_file(path_or_fileobj=b"one", path_in_repo="a.txt", repo_id=source)
    ada.upload_file(path_or_fileobj=b"\0" * 2000, path_in_repo="weights.bin", repo_id=source)
    ada.create_tag(source, tag="v1")
    url = grace.duplicate_repo(source)
    assert url.repo_id == source.replace("ada/", "grace/")
    assert url.files_copy_pending is False
    assert grace.list_repo_files(url.repo_id) == grace.list_repo_files(source)
    assert [tag.name for tag in grace.list_repo_refs(url.repo_id).tags] == ["v1"]
    assert Path(grace.hf_hub_download(url.repo_id, "weights.bin")).read_bytes() == b"\0" * 2000
    grace.upload_file(path_or_fileobj=b"two", path_in_repo="a.txt", repo_id=url.repo_id)
    assert Path(ada.hf_hub_download(source, "a.txt")).read_bytes() == b"one"
    with pytest.raises(HfHubHTTPError) as refused:
        grace.duplicate_repo(source)
    assert refused.value.response.status_code == 409
    assert grace.duplicate_repo(source, exist_ok=True) == url


def test_a_private_repository_is_duplicated_by_its_readers_only_and_stays_private(
    ada: HfApi, grace: HfApi, repo: Make
) -> None:
    source = repo(visibility="private")
    with pytest.raises(RepositoryNotFoundError):
        grace.duplicate_repo(source)
    copy = ada.duplicate_repo(source, to_id=f"ada/{fresh('copy')}")
    assert ada.model_info(copy.repo_id).private is True


def test_gated_content_is_not_duplicated_without_access(ada: HfApi, grace: HfApi, repo: Make) -> None:
    source = repo()
    ada.update_repo_settings(source, gated="manual")
    with pytest.raises(HfHubHTTPError) as refused:
        grace.duplicate_repo(source)
    assert refused.value.response.status_code == 403
