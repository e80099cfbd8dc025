"""Who gets in, and what git is told when it does not."""

import http.client
import json
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from llmos.core.ids import new_access_token
from llmos.features.accounts.models import Namespace
from llmos.features.auth.models import AccessToken
from llmos.features.repos.models import Repo, RepoAlias
from llmos.infra.security.secrets import hash_secret


def ask(server, method, path, body=None, headers=None):
    """Status, headers (lower case) and body of one raw request."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, {key.lower(): value for key, value in answer.getheaders()}, data


@pytest.mark.parametrize("service", ["git-upload-pack", "git-receive-pack"])
def test_a_private_repository_asks_for_credentials(server, make_repo, service):
    repo = make_repo(visibility="private")
    status, headers, _ = ask(server, "GET", f"/{repo.repo_name}/info/refs?service={service}")
    assert status == 401
    assert headers["www-authenticate"].startswith("Basic ")


def test_a_push_to_a_public_repository_asks_for_credentials(server, repo):
    status, headers, _ = ask(server, "GET", f"/{repo.repo_name}/info/refs?service=git-receive-pack")
    assert status == 401
    assert "www-authenticate" in headers


def test_a_private_repository_looks_like_a_missing_one(server, make_repo, git_for):
    repo = make_repo(visibility="private")
    grace = git_for("grace")
    hidden = grace.run("ls-remote", grace.url(repo.repo_name), ok=False)
    missing = grace.run("ls-remote", grace.url("ada/no-such-repo"), ok=False)
    assert hidden.replace(repo.repo_name, "X") == missing.replace("ada/no-such-repo", "X")
    assert "not found" in hidden.lower()


def test_the_owner_of_a_private_repository_works_in_it(make_repo, ada):
    repo = make_repo(visibility="private")
    ada.run("clone", "-q", ada.url(repo.repo_name), "mine")
    mine = ada.inside("mine")
    mine.commit({"x.txt": b"x"})
    mine.run("push", "-q", "origin", "HEAD:main")


def test_a_wrong_token_is_refused_even_where_none_is_needed(server, repo):
    headers = {"Authorization": "Bearer hf_" + "x" * 37}
    path = f"/{repo.repo_name}/info/refs?service=git-upload-pack"
    status, answered, body = ask(server, "GET", path, headers=headers)
    assert status == 401
    assert "www-authenticate" in answered
    assert b"access token is not valid" in body


def test_a_read_token_cannot_push(server, clone, live_rt):
    token = new_access_token()
    with live_rt.database.writing() as db:
        ada_id = db.scalar(select(Namespace.id).where(Namespace.name_key == "ada"))
        db.add(
            AccessToken(user_id=ada_id, name="r", token_hash=hash_secret(token), token_hint="h", role="read")
        )
    reader = clone
    reader.commit({"x.txt": b"x"})
    url = reader.url("X").replace(reader.token, token).removesuffix("/X")
    path = reader.run("remote", "get-url", "origin").strip().split("/", 3)[3]
    assert "403" in reader.run("push", f"{url}/{path}", "HEAD:main", ok=False)


def test_gated_content_is_not_cloned_without_access(make_repo, git_for):
    repo = make_repo(gated="manual")
    grace = git_for("grace")
    assert "403" in grace.run("clone", grace.url(repo.repo_name), ok=False)


def test_a_moved_repository_is_followed(make_repo, clone, repo, live_rt, git_for):
    old_name = repo.repo_name
    with live_rt.database.writing() as db:
        row = db.get(Repo, repo.id)
        row.name = row.name_key = f"{row.name}-moved"
        db.add(RepoAlias(type="model", name_key=old_name.lower(), repo_id=row.id))
    grace = git_for("grace")
    grace.run("clone", "-q", grace.url(old_name), "followed")
    assert (grace.folder / "followed/README.md").exists()


def test_dumb_http_and_other_services_are_refused_in_words(server, repo):
    status, _, body = ask(server, "GET", f"/{repo.repo_name}.git/info/refs")
    assert status == 403
    assert b"smart HTTP" in body
    status, _, body = ask(server, "GET", f"/{repo.repo_name}.git/info/refs?service=git-upload-archive")
    assert status == 403
    assert b"not offered" in body


def test_another_content_type_is_refused(server, repo):
    status, _, _ = ask(server, "POST", f"/{repo.repo_name}.git/git-upload-pack", b"0000")
    assert status == 415


def test_an_anonymous_push_is_refused_before_its_body_is_read(server, repo):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.putrequest("POST", f"/{repo.repo_name}.git/git-receive-pack")
    connection.putheader("Content-Type", "application/x-git-receive-pack-request")
    connection.putheader("Content-Length", str(10**9))
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_lfs_refusals_speak_the_lfs_media_type(server, make_repo):
    repo = make_repo(visibility="private")
    body = json.dumps({"operation": "download", "objects": []})
    status, headers, data = ask(server, "POST", f"/{repo.repo_name}.git/info/lfs/objects/batch", body)
    assert status == 401
    assert headers["content-type"] == "application/vnd.git-lfs+json"
    assert "message" in json.loads(data)
