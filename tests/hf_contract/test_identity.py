"""Identity as the official client sees it, against a live server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from kit.server import LiveServer
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.policy import access_user
from llmos.features.auth.tokens import create_token
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

HF = Path(sys.executable).with_name("hf")


def open_beside(server: LiveServer) -> Runtime:
    """The runtime of the live server's folder, as a command beside it opens it."""
    url = server.env.get("LLMOS_DATABASE_URL")
    return open_runtime(Settings(home=server.home, database_url=url))


def api(server: LiveServer, person: str = "ada") -> HfApi:
    return HfApi(endpoint=server.url, token=server.tokens[person])


def hf_env(server: LiveServer, home: Path, token: str | None = None) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "LLMOS_"))}
    env |= {"HF_ENDPOINT": server.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return env | ({"HF_TOKEN": token} if token else {})


def test_whoami_names_the_person_and_their_organisations(server: LiveServer) -> None:
    me = api(server).whoami()
    assert (me["type"], me["name"], me["fullname"]) == ("user", "ada", "Ada")
    assert me["auth"]["accessToken"]["role"] == "write"
    lab = next(org for org in me["orgs"] if org["name"] == "lab")
    assert (lab["roleInOrg"], lab["isEnterprise"]) == ("admin", False)
    assert me["avatarUrl"].startswith(server.url)
    assert httpx.get(me["avatarUrl"]).headers["content-type"] == "image/svg+xml"


def test_a_wrong_token_is_said_to_be_wrong(server: LiveServer) -> None:
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        HfApi(endpoint=server.url, token="hf_" + "x" * 37).whoami()
    answer = httpx.get(f"{server.url}/api/whoami-v2")
    assert answer.status_code == 401
    assert answer.headers["x-error-message"] == "Invalid credentials in Authorization header"


def test_a_fine_grained_token_tells_its_scopes(server: LiveServer) -> None:
    runtime = open_beside(server)
    with runtime.database.writing() as db:
        ada = access_user(db, OPERATOR, "ada")
        scopes = [{"target": "lab", "verbs": ["repo.write"]}]
        _, value = create_token(
            db, OPERATOR, ada, name=f"narrow-{uuid.uuid4().hex[:6]}", role="fineGrained", scopes=scopes
        )
    runtime.close()
    token = HfApi(endpoint=server.url, token=value).whoami()["auth"]["accessToken"]
    assert token["role"] == "fineGrained"
    (scoped,) = token["fineGrained"]["scoped"]
    assert scoped["entity"] == {"_id": "lab", "type": "org", "name": "lab"}
    assert scoped["permissions"] == ["repo.content.read", "repo.write"]


def test_overviews_followers_and_members(server: LiveServer) -> None:
    grace = {"authorization": f"Bearer {server.tokens['grace']}"}
    for path in ("users/ada", "organizations/lab"):
        answer = httpx.post(f"{server.url}/api/{path}/follow", headers=grace)
        assert answer.json() == {"isFollowing": True}
    client = api(server, "grace")
    ada = client.get_user_overview("ADA")
    assert (ada.username, ada.is_following, ada.num_followers) == ("ada", True, 1)
    assert "lab" in [org.name for org in ada.orgs]
    assert [user.username for user in client.list_user_followers("ada")] == ["grace"]
    assert [user.username for user in client.list_user_following("grace")] == ["ada"]
    lab = client.get_organization_overview("lab")
    assert (lab.name, lab.num_users, lab.is_following) == ("lab", 1, True)
    assert [user.username for user in client.list_organization_members("lab")] == ["ada"]
    assert [user.username for user in client.list_organization_followers("lab")] == ["grace"]
    assert httpx.request("DELETE", f"{server.url}/api/users/ada/follow", headers=grace).json() == {
        "isFollowing": False
    }
    assert client.get_user_overview("ada").is_following is False


@pytest.mark.parametrize("path", ["users/nobody", "organizations/nobody", "users/lab", "organizations/ada"])
def test_strangers_are_not_found(server: LiveServer, path: str) -> None:
    assert httpx.get(f"{server.url}/api/{path}/overview").status_code == 404


def test_lists_are_paged_by_absolute_links(server: LiveServer) -> None:
    for person in ("grace", "root-admin"):
        headers = {"authorization": f"Bearer {server.tokens[person]}"}
        httpx.post(f"{server.url}/api/users/ada/follow", headers=headers)
    first = httpx.get(f"{server.url}/api/users/ada/followers?limit=1")
    link = re.fullmatch(r'<(http://[^>]+)>; rel="next"', first.headers["link"])
    assert link is not None
    second = httpx.get(link[1])
    names = [first.json()[0]["user"], second.json()[0]["user"]]
    assert (names, "link" in second.headers) == (["grace", "root-admin"], False)


def test_visitors_may_not_follow(server: LiveServer) -> None:
    assert httpx.post(f"{server.url}/api/users/ada/follow").status_code == 401


def test_login_with_a_pasted_token(server: LiveServer, tmp_path: Path) -> None:
    done = subprocess.run(
        [HF, "auth", "login", "--token", server.tokens["ada"]],
        env=hf_env(server, tmp_path), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "token").read_text() == server.tokens["ada"]


def test_hf_auth_login_by_the_browser(server: LiveServer, tmp_path: Path) -> None:
    env = hf_env(server, tmp_path)
    process = subprocess.Popen(
        [HF, "auth", "login"], env=env | {"PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    seen = ""
    while not (code := re.search(r"user_code=([A-Z]{4}-[A-Z]{4})", seen)):
        line = process.stdout.readline()
        assert line, seen
        seen += line
    answer = httpx.post(
        f"{server.url}/device",
        data={"user_code": code[1], "decision": "approve"},
        headers={"authorization": f"Bearer {server.tokens['ada']}", "origin": server.url},
    )
    assert answer.status_code == 303, answer.text
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, seen + rest
    token = (tmp_path / "token").read_text()
    assert re.fullmatch(r"hf_[A-Za-z0-9]{37}", token)
    me = HfApi(endpoint=server.url, token=token).whoami()
    assert me["name"] == "ada"
    assert me["auth"]["accessToken"]["displayName"].startswith("oauth-hf-")
    shown = subprocess.run([HF, "auth", "whoami"], env=env, capture_output=True, text=True, timeout=60)
    assert "ada" in shown.stdout
