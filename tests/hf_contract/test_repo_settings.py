"""Settings, storage, large files, likes, gating, validation and the small routes."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from huggingface_hub import HfApi, RepoCard
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
)

from hf_contract.helpers import add_regular
from kit.server import LiveServer
from llmos.core.repo_types import RepoType

Make = Callable[..., str]
LFS = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # the client's own LFS upload


def headers_of(server: LiveServer, caller: str) -> dict[str, str]:
    return {} if caller == "anonymous" else {"Authorization": f"Bearer {server.tokens[caller]}"}


def status_of(refused: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return int(refused.value.response.status_code)


def test_visibility_and_gating_round_trip(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    ada.update_repo_settings(repo_id, private=True)
    assert ada.model_info(repo_id).private is True
    ada.update_repo_settings(repo_id, visibility="public", gated="auto")
    info = ada.model_info(repo_id)
    assert (info.private, info.gated) == (False, "auto")
    ada.update_repo_settings(repo_id, gated="manual")
    assert ada.model_info(repo_id).gated == "manual"
    ada.update_repo_settings(repo_id, gated=False)
    assert ada.model_info(repo_id).gated is False


def test_the_old_boolean_form_of_privacy(as_ada: httpx.Client, ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    assert as_ada.put(f"/api/models/{repo_id}/settings", json={"private": True}).status_code == 200
    assert ada.model_info(repo_id).private is True


@pytest.mark.parametrize(
    "body", [{}, {"gated": "maybe"}, {"gated": 1}, {"visibility": "x"}, {"private": 1}, {"gated": True}]
)
def test_malformed_settings_are_refused(as_ada: httpx.Client, repo: Make, body: dict[str, Any]) -> None:
    assert as_ada.put(f"/api/models/{repo()}/settings", json=body).status_code == 400


@pytest.mark.parametrize("data", [b"[]", b"{", b"\xff", b'"x"', b"1"])
def test_a_body_that_is_no_object_is_refused(as_ada: httpx.Client, repo: Make, data: bytes) -> None:
    repo_id = repo()
    for method, path in (("PUT", f"/api/models/{repo_id}/settings"), ("POST", "/api/repos/create")):
        assert as_ada.request(method, path, content=data).status_code == 400


ADMIN_ROUTES = [
    ("PUT", "/settings", {"visibility": "private"}),
    ("GET", "/lfs-files", None),
    ("POST", "/lfs-files/batch", {"deletions": {"sha": [], "rewriteHistory": False}}),
    ("GET", "/user-access-request/pending", None),
    ("POST", "/user-access-request/grant", {"user": "grace"}),
    ("POST", "/user-access-request/handle", {"user": "grace", "status": "accepted"}),
    ("GET", "/auth-check/write", None),
]


@pytest.mark.parametrize(("caller", "status"), [("anonymous", 401), ("grace", 403)])
@pytest.mark.parametrize(("method", "path", "body"), ADMIN_ROUTES)
def test_strangers_change_nothing(
    server: LiveServer, ada: HfApi, repo: Make, *, caller: str, status: int, method: str, path: str, body: Any
) -> None:
    repo_id = repo()
    ada.update_repo_settings(repo_id, gated="manual")
    answer = httpx.request(
        method, f"{server.url}/api/models/{repo_id}{path}", json=body, headers=headers_of(server, caller)
    )
    assert answer.status_code == status, answer.text
    assert ada.model_info(repo_id).private is False


@pytest.mark.parametrize(("caller", "status"), [("anonymous", 401), ("grace", 404)])
@pytest.mark.parametrize(
    ("method", "path", "body"), [*ADMIN_ROUTES, ("POST", "/like", None), ("DELETE", "/like", None)]
)
def test_private_repositories_do_not_exist_for_strangers(
    server: LiveServer, repo: Make, *, caller: str, status: int, method: str, path: str, body: Any
) -> None:
    url = f"{server.url}/api/models/{repo(visibility='private')}{path}"
    answer = httpx.request(method, url, json=body, headers=headers_of(server, caller))
    assert answer.status_code == status, answer.text
    assert answer.headers["X-Error-Code"] == "RepoNotFound"


def test_storage_is_listed_for_oneself_and_for_members(ada: HfApi, grace: HfApi, repo: Make) -> None:
    name = f"stored-{uuid.uuid4().hex[:8]}"
    ada.create_repo(f"lab/{name}", private=True)
    own = repo()
    stored = {item.id: item for item in ada.list_user_repos()}
    assert stored[own].storage > 0
    lab = {item.id: item for item in ada.list_user_repos(namespace="lab")}
    found = lab[f"lab/{name}"]
    assert (found.type, found.visibility) == ("model", "private")
    assert found.storage > 0
    with pytest.raises(HfHubHTTPError) as refused:
        list(grace.list_user_repos(namespace="lab"))
    assert status_of(refused) == 404


@LFS
def test_large_files_are_listed_and_taken_out_of_history(ada: HfApi, repo: Make) -> None:
    repo_id = repo()
    ada.upload_file(path_or_fileobj=b"\0one" * 300, path_in_repo="one.bin", repo_id=repo_id)
    ada.upload_file(path_or_fileobj=b"\0two" * 300, path_in_repo="data/two.bin", repo_id=repo_id)
    ada.upload_file(path_or_fileobj=b"\0six" * 300, path_in_repo="gone.bin", repo_id=repo_id)
    ada.delete_file("gone.bin", repo_id)
    ada.create_branch(repo_id, branch="other")
    ada.upload_file(path_or_fileobj=b"\0ten" * 300, path_in_repo="ten.bin", repo_id=repo_id, revision="other")
    files = {item.filename: item for item in ada.list_lfs_files(repo_id)}
    assert set(files) == {"one.bin", "data/two.bin", "gone.bin", "ten.bin"}
    assert {name: item.ref for name, item in files.items()} == {
        "one.bin": "main", "data/two.bin": "main", "gone.bin": None, "ten.bin": "other",
    }  # fmt: skip
    assert files["one.bin"].file_oid == hashlib.sha256(b"\0one" * 300).hexdigest()
    assert files["one.bin"].size == 1200
    titles = [commit.title for commit in ada.list_repo_commits(repo_id)]
    ada.permanently_delete_lfs_files(repo_id, [files["one.bin"], files["gone.bin"]])
    assert {item.filename for item in ada.list_lfs_files(repo_id)} == {"data/two.bin", "ten.bin"}
    assert [commit.title for commit in ada.list_repo_commits(repo_id)] == titles
    for commit in ada.list_repo_commits(repo_id):
        assert "one.bin" not in ada.list_repo_files(repo_id, revision=commit.commit_id)
        assert "gone.bin" not in ada.list_repo_files(repo_id, revision=commit.commit_id)
    with pytest.raises(EntryNotFoundError):
        ada.hf_hub_download(repo_id, "one.bin")
    assert ada.hf_hub_download(repo_id, "data/two.bin")
    info = ada.model_info(repo_id)
    assert info.sha == ada.list_repo_commits(repo_id)[0].commit_id
    assert "one.bin" not in {item.rfilename for item in info.siblings or []}
    assert "one.bin" not in ada.list_repo_files(repo_id, revision="other")


@LFS
def test_large_files_are_lent_to_a_repository_one_may_write(
    as_ada: httpx.Client, server: LiveServer, ada: HfApi, repo: Make
) -> None:
    source, target = repo(), repo()
    data = b"\0lend" * 300
    ada.upload_file(path_or_fileobj=data, path_in_repo="x.bin", repo_id=source)
    oid = hashlib.sha256(data).hexdigest()
    body = {"target": {"type": "model", "name": target}, "files": [{"sha256": oid, "filename": "x.bin"}]}
    stranger = httpx.post(
        f"{server.url}/api/models/{source}/lfs-files/duplicate",
        json=body,
        headers=headers_of(server, "grace"),
    )
    assert stranger.status_code == 403
    assert as_ada.post(f"/api/models/{source}/lfs-files/duplicate", json=body).json() == {}
    assert [item.file_oid for item in ada.list_lfs_files(target)] == [oid]
    body["files"] = [{"sha256": "0" * 64}]
    assert (
        as_ada.post(f"/api/models/{source}/lfs-files/duplicate", json=body).json()["failed"][0]["sha256"]
        == "0" * 64
    )


@pytest.mark.parametrize(
    "deletions", [None, {}, {"sha": "x"}, {"sha": ["x"]}, {"sha": [1]}, {"sha": ["A" * 64]}]
)
def test_malformed_deletions_are_refused(as_ada: httpx.Client, repo: Make, deletions: Any) -> None:
    answer = as_ada.post(f"/api/models/{repo()}/lfs-files/batch", json={"deletions": deletions})
    assert answer.status_code == 400


def test_likes_count_once_and_can_be_taken_back(
    as_ada: httpx.Client, ada: HfApi, grace: HfApi, server: LiveServer, repo: Make
) -> None:
    repo_id, hidden = repo(), repo(visibility="private")
    for _ in range(2):
        assert as_ada.post(f"/api/models/{repo_id}/like").json() == {"likes": 1, "liked": True}
    as_ada.post(f"/api/models/{hidden}/like")
    httpx.post(f"{server.url}/api/models/{repo_id}/like", headers=headers_of(server, "grace"))
    likers = list(ada.list_repo_likers(repo_id))
    assert {user.username for user in likers} == {"ada", "grace"}
    assert all(httpx.get(user.avatar_url).status_code == 200 for user in likers)
    assert ada.model_info(repo_id).likes == 2
    assert {repo_id, hidden} <= set(ada.list_liked_repos().models)
    assert hidden not in grace.list_liked_repos("ada").models
    assert repo_id in grace.list_liked_repos("ada").models
    ada.unlike(repo_id)
    ada.unlike(repo_id)
    assert ada.model_info(repo_id).likes == 1
    assert repo_id not in ada.list_liked_repos().models
    with pytest.raises(RepositoryNotFoundError):
        ada.unlike("ada/never-was")


def test_likers_come_in_pages(as_ada: httpx.Client, server: LiveServer, repo: Make) -> None:
    repo_id = repo()
    for caller in ("ada", "grace", "root-admin"):
        httpx.post(f"{server.url}/api/models/{repo_id}/like", headers=headers_of(server, caller))
    first = as_ada.get(f"/api/models/{repo_id}/likers?limit=2")
    second = as_ada.get(first.links["next"]["url"])
    assert [item["user"] for item in [*first.json(), *second.json()]] == ["root-admin", "grace", "ada"]
    assert "next" not in second.links


def test_an_unknown_persons_likes(http: httpx.Client) -> None:
    assert http.get("/api/users/nobody-here/likes").status_code == 404


def test_access_is_asked_for_given_and_taken(
    ada: HfApi, grace: HfApi, server: LiveServer, repo: Make
) -> None:
    repo_id = repo()
    card = "---\nextra_gated_fields:\n  Affiliation: text\n  I agree: checkbox\n---\n"
    add_regular(ada, repo_id, {"README.md": card.encode(), "weights.txt": b"w"})
    ada.update_repo_settings(repo_id, gated="manual")
    with pytest.raises(GatedRepoError):
        grace.auth_check(repo_id)
    with pytest.raises(GatedRepoError):
        grace.hf_hub_download(repo_id, "weights.txt")
    ask = f"{server.url}/{repo_id}/ask-access"
    refused = httpx.post(ask, json={"Affiliation": "MIT"}, headers=headers_of(server, "grace"))
    assert refused.status_code == 400
    assert "I agree" in refused.json()["error"]
    assert httpx.post(ask, json={}).status_code == 401
    answers = {"Affiliation": "MIT", "I agree": True}
    asked = httpx.post(ask, json=answers, headers=headers_of(server, "grace"))
    assert asked.json()["status"] == "pending"
    (request,) = ada.list_pending_access_requests(repo_id)
    assert (request.username, request.email, request.fields) == ("grace", "grace@example.org", answers)
    ada.accept_access_request(repo_id, "grace")
    grace.auth_check(repo_id)
    assert grace.hf_hub_download(repo_id, "weights.txt")
    with pytest.raises(HfHubHTTPError) as again:
        ada.accept_access_request(repo_id, "grace")
    assert status_of(again) == 404
    ada.cancel_access_request(repo_id, "grace")
    with pytest.raises(GatedRepoError):
        grace.auth_check(repo_id)
    ada.reject_access_request(repo_id, request_id=request.request_id, rejection_reason="no")
    assert [item.username for item in ada.list_rejected_access_requests(repo_id)] == ["grace"]
    assert httpx.post(ask, json=answers, headers=headers_of(server, "grace")).status_code == 403


def test_access_is_granted_without_asking_and_the_mail_stays_private(
    ada: HfApi, grace: HfApi, repo: Make
) -> None:
    repo_id = repo()
    with pytest.raises(HfHubHTTPError) as not_gated:
        ada.grant_access(repo_id, "grace")
    assert status_of(not_gated) == 400
    ada.update_repo_settings(repo_id, gated="auto")
    ada.grant_access(repo_id, "grace")
    grace.auth_check(repo_id)
    (request,) = ada.list_accepted_access_requests(repo_id)
    assert (request.username, request.email) == ("grace", None)
    with pytest.raises(HfHubHTTPError) as twice:
        ada.grant_access(repo_id, "grace")
    assert status_of(twice) == 400
    with pytest.raises(HfHubHTTPError) as unknown:
        ada.grant_access(repo_id, "nobody-here")
    assert status_of(unknown) == 404


def test_automatic_gating_lets_in_whoever_asks(
    ada: HfApi, grace: HfApi, server: LiveServer, repo: Make
) -> None:
    repo_id = repo(repo_type=RepoType.DATASET)
    ada.update_repo_settings(repo_id, gated="auto", repo_type="dataset")
    url = f"{server.url}/datasets/{repo_id}/ask-access"
    headers = headers_of(server, "grace") | {"accept": "text/html"}
    assert httpx.post(url, data={}, headers=headers).headers["location"] == f"/datasets/{repo_id}"
    grace.auth_check(repo_id, repo_type="dataset")
    own = httpx.post(url, json={}, headers=headers_of(server, "ada"))
    assert own.status_code == 400


def test_own_access_is_checked(ada: HfApi, grace: HfApi, repo: Make) -> None:
    public, private = repo(), repo(visibility="private")
    ada.auth_check(public, write=True)
    grace.auth_check(public)
    with pytest.raises(HfHubHTTPError) as refused:
        grace.auth_check(public, write=True)
    assert status_of(refused) == 403
    with pytest.raises(RepositoryNotFoundError):
        grace.auth_check(private)


def test_cards_are_validated_in_json_and_in_text(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch, server: LiveServer
) -> None:
    good = http.post("/api/validate-yaml", json={"content": "---\nlicense: mit\n---\n", "repoType": "model"})
    assert (good.status_code, good.json()) == (200, {"errors": [], "warnings": []})
    empty = http.post("/api/validate-yaml", json={"content": "# Hi", "repoType": "dataset"})
    assert empty.status_code == 200
    assert empty.json()["warnings"][0]["message"]
    body = {"content": "---\nlicense: nothing-known\n---\n", "repoType": "model"}
    bad = http.post("/api/validate-yaml", json=body)
    assert bad.status_code == 400
    assert '"license" must be one of' in bad.json()["errors"][0]["message"]
    text = http.post("/api/validate-yaml", json=body, headers={"accept": "text/plain"})
    assert text.status_code == 400
    assert text.text.startswith('- Error: "license" must be one of')
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    with pytest.raises(ValueError, match='- Error: "license" must be one of'):
        RepoCard("---\nlicense: nothing-known\n---\n# x").validate(repo_type="model")
    RepoCard("---\nlicense: mit\n---\n# x").validate(repo_type="model")
    assert http.post("/api/validate-yaml", json={"repoType": "model"}).status_code == 400


def test_tags_tasks_templates_and_telemetry(http: httpx.Client, ada: HfApi) -> None:
    assert {"pipeline_tag", "library", "license"} <= set(ada.get_model_tags())
    assert "task_categories" in ada.get_dataset_tags()
    assert "text-generation" in http.get("/api/tasks").json()
    assert ada.list_space_templates() == []
    assert http.head("/api/telemetry/llmos/test").status_code == 200
    assert http.get("/api/agent-harnesses").status_code == 404
