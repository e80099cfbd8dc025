"""What a fine-grained token may: every verb, on a repository, a namespace, or everywhere; nothing more."""

from __future__ import annotations

import itertools

import pytest
from starlette.testclient import TestClient

from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.policy import access_user
from llmos.features.auth.tokens import VERBS, create_token
from llmos.infra.runtime import Runtime

REPOS = {"model": "models/ada/tiny", "dataset": "datasets/ada/tiny", "lab": "models/lab/thing"}
# Which of these a target covers. A model and a data set of one name are two repositories.
COVERED = {"model:ada/tiny": {"model"}, "ada": {"model", "dataset"}, "lab": {"lab"}, "*": set(REPOS)}
# Writing implies reading, settings imply both; the other verbs stand alone.
MEANT = {
    "repo.read": {"read"},
    "repo.write": {"read", "write"},
    "repo.admin": {"read", "write", "settings"},
    "discussion.write": set(),
    "job.write": set(),
    "inference": set(),
}
_numbers = itertools.count()


@pytest.fixture
def client(app_client: TestClient, tokens: dict[str, str]) -> TestClient:
    headers = {"Authorization": f"Bearer {tokens['ada']}"}
    for kind, organization, name in (
        ("model", None, "tiny"), ("dataset", None, "tiny"), ("model", "lab", "thing"),
    ):  # fmt: skip
        body = {"name": name, "type": kind, "organization": organization, "private": True}
        assert app_client.post("/api/repos/create", json=body, headers=headers).status_code == 200
    return app_client


def narrow(rt: Runtime, target: str, *verbs: str) -> dict[str, str]:
    """The headers of a new token of ada's."""
    with rt.database.writing() as db:
        scopes = [{"target": target, "verbs": list(verbs)}]
        name = f"narrow-{next(_numbers)}"
        ada = access_user(db, OPERATOR, "ada")
        _, value = create_token(db, OPERATOR, ada, name=name, role="fineGrained", scopes=scopes)
    return {"Authorization": f"Bearer {value}"}


def done(client: TestClient, headers: dict[str, str], repo: str) -> set[str]:
    """What succeeds with these headers; every refusal must be one."""
    url = f"/api/{repo}"
    tag = {"tag": f"v{next(_numbers)}"}
    tries = {
        "read": client.get(f"{url}/tree/main", headers=headers),
        "write": client.post(f"{url}/tag/main", json=tag, headers=headers),
        "settings": client.put(f"{url}/settings", json={"visibility": "private"}, headers=headers),
    }
    for name, answer in tries.items():
        assert answer.status_code in (200, 201, 401, 403, 404), (name, answer.text)
    return {name for name, answer in tries.items() if answer.status_code < 300}


def test_a_token_does_what_its_verb_says_where_it_says(rt: Runtime, client: TestClient) -> None:
    assert set(MEANT) == set(VERBS)
    for target, verb in itertools.product(COVERED, VERBS):
        headers = narrow(rt, target, verb)
        for name, repo in REPOS.items():
            expected = MEANT[verb] if name in COVERED[target] else set()
            assert done(client, headers, repo) == expected, (target, verb, name)


def test_a_token_that_cannot_read_learns_of_no_private_repository(rt: Runtime, client: TestClient) -> None:
    headers = narrow(rt, "model:ada/tiny", "repo.admin")
    for path in ("/api/datasets/ada/tiny", "/api/models/lab/thing", "/lab/thing/resolve/main/.gitattributes"):
        hidden = client.get(path, headers=headers)
        assert (hidden.status_code, hidden.headers["x-error-code"]) == (404, "RepoNotFound"), path
    listed = client.get("/api/models?author=lab", headers=headers).json()
    assert listed == []
    assert [item["id"] for item in client.get("/api/models?author=ada", headers=headers).json()] == [
        "ada/tiny"
    ]


def test_discussions_and_new_repositories_have_their_verbs(rt: Runtime, client: TestClient) -> None:
    talk = {"title": "A question", "description": "How?"}
    for verbs, status in ((("repo.read", "discussion.write"), 200), (("repo.admin",), 403)):
        headers = narrow(rt, "ada", *verbs)
        answer = client.post("/api/models/ada/tiny/discussions", json=talk, headers=headers)
        assert answer.status_code == status, verbs
    for target, verb, status in (
        ("lab", "repo.write", 200), ("lab", "repo.read", 403), ("ada", "repo.write", 403),
        ("model:lab/thing", "repo.admin", 403),
    ):  # fmt: skip
        body = {"name": f"made-{next(_numbers)}", "organization": "lab"}
        answer = client.post("/api/repos/create", json=body, headers=narrow(rt, target, verb))
        assert answer.status_code == status, (target, verb)


def test_no_narrow_token_touches_the_account(rt: Runtime, client: TestClient) -> None:
    headers = narrow(rt, "*", *VERBS)
    assert client.get("/api/whoami-v2", headers=headers).status_code == 200
    for path in ("/settings/tokens", "/settings/password", "/settings/sessions", "/organizations/new"):
        answer = client.post(path, data={"name": "x", "role": "write"}, headers=headers)
        assert 400 <= answer.status_code < 500, path
