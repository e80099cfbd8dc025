"""Rows of people, likes and access to gated repositories."""

from __future__ import annotations

from huggingface_hub.utils import GatedRepoError, RepositoryNotFoundError

from clients.rows import World, raises, row, status_of


def gated(w: World, how: str = "manual", kind: str = "model") -> str:
    name = w.repo(kind, files={"secret.txt": b"s"})
    w.ada.update_repo_settings(name, repo_type=kind, gated=how)
    return name


def asked(w: World) -> str:
    """A repository that grace has asked to read."""
    name = gated(w)
    w.send("POST", f"/{name}/ask-access", {}, person="grace")
    return name


def names(requests: object) -> list[str]:
    return [request.username for request in requests]  # type: ignore[attr-defined]


def may_read(w: World, name: str) -> bool:
    return not raises(GatedRepoError, lambda: w.grace.auth_check(name))


@row("DELETE /api/{T}/{id}/like", "unlike")
def unlike(w: World) -> None:
    name = w.repo("dataset")
    w.send("POST", f"/api/datasets/{name}/like", {})
    assert w.ada.dataset_info(name).likes == 1
    w.ada.unlike(name, repo_type="dataset")
    assert w.ada.dataset_info(name).likes == 0


@row("GET /api/{T}/{id}/likers", "list_repo_likers")
def likers(w: World) -> None:
    name = w.repo()
    w.send("POST", f"/api/models/{name}/like", {}, person="grace")
    assert [(user.username, user.fullname) for user in w.ada.list_repo_likers(name)] == [("grace", "Grace")]


@row("GET /api/users/{user}/likes", "list_liked_repos")
def likes(w: World) -> None:
    model, dataset = w.repo(), w.repo("dataset")
    w.send("POST", f"/api/models/{model}/like", {})
    w.send("POST", f"/api/datasets/{dataset}/like", {})
    found = w.grace.list_liked_repos("ada")
    assert (model in found.models, dataset in found.datasets) == (True, True)


@row("GET /api/users/{user}/overview", "get_user_overview")
def overview(w: World) -> None:
    found = w.grace.get_user_overview("ada")
    assert (found.username, found.fullname) == ("ada", "Ada")
    assert found.num_models > 0
    assert "lab" in [org.name for org in found.orgs]
    assert status_of(lambda: w.ada.get_user_overview("nobody-here")) == 404


@row("GET /api/users/{user}/followers", "list_user_followers")
def followers(w: World) -> None:
    w.send("POST", "/api/users/ada/follow", {}, person="grace")
    assert "grace" in [user.username for user in w.ada.list_user_followers("ada")]


@row("GET /api/users/{user}/following", "list_user_following")
def following(w: World) -> None:
    w.send("POST", "/api/users/ada/follow", {}, person="grace")
    assert [user.username for user in w.ada.list_user_following("grace")] == ["ada"]


@row("GET /api/organizations/{org}/overview", "get_organization_overview")
def organisation(w: World) -> None:
    found = w.ada.get_organization_overview("lab")
    assert (found.name, found.num_users) == ("lab", 1)


@row("GET /api/organizations/{org}/followers", "list_organization_followers")
def organisation_followers(w: World) -> None:
    w.send("POST", "/api/organizations/lab/follow", {}, person="grace")
    assert "grace" in [user.username for user in w.ada.list_organization_followers("lab")]


@row("GET /api/organizations/{org}/members", "list_organization_members")
def members(w: World) -> None:
    assert [user.username for user in w.ada.list_organization_members("lab")] == ["ada"]


@row("GET /api/{T}/{id}/user-access-request/pending", "list_pending_access_requests")
def pending(w: World) -> None:
    name = asked(w)
    (request,) = w.ada.list_pending_access_requests(name)
    assert (request.username, request.status, request.email) == ("grace", "pending", "grace@example.org")
    assert status_of(lambda: list(w.grace.list_pending_access_requests(name))) == 403


@row("GET /api/{T}/{id}/user-access-request/accepted", "list_accepted_access_requests")
def accepted(w: World) -> None:
    name = asked(w)
    assert not may_read(w, name)
    w.ada.accept_access_request(name, "grace")
    assert names(w.ada.list_accepted_access_requests(name)) == ["grace"]
    assert may_read(w, name)


@row("GET /api/{T}/{id}/user-access-request/rejected", "list_rejected_access_requests")
def rejected(w: World) -> None:
    name = asked(w)
    w.ada.reject_access_request(name, "grace", rejection_reason="not yet")
    assert names(w.ada.list_rejected_access_requests(name)) == ["grace"]
    assert not may_read(w, name)


@row("POST /api/{T}/{id}/user-access-request/handle", "cancel_access_request", "accept_access_request")
def handle(w: World) -> None:
    name = asked(w)
    w.ada.accept_access_request(name, "grace")
    assert status_of(lambda: w.ada.accept_access_request(name, "grace")) == 404
    w.ada.cancel_access_request(name, "grace")
    assert names(w.ada.list_pending_access_requests(name)) == ["grace"]


@row("POST /api/{T}/{id}/user-access-request/grant", "grant_access")
def grant(w: World) -> None:
    name = gated(w, "auto")
    w.ada.grant_access(name, "grace")
    assert may_read(w, name)
    assert status_of(lambda: w.ada.grant_access(name, "grace")) == 400


@row("GET /api/{T}/{id}/auth-check", "auth_check")
def auth_check(w: World) -> None:
    w.grace.auth_check(w.repo())
    assert not may_read(w, gated(w))
    private = w.repo(private=True)
    assert raises(RepositoryNotFoundError, lambda: w.grace.auth_check(private))


@row("GET /api/{T}/{id}/auth-check/write", "auth_check:write")
def auth_check_write(w: World) -> None:
    name = w.repo()
    w.ada.auth_check(name, write=True)
    assert status_of(lambda: w.grace.auth_check(name, write=True)) == 403
