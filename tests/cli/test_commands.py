"""The `llmos` command as scripts use it: beside a running server, output and exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from click.testing import CliRunner, Result

from kit.server import LiveServer
from llmos.cli.root import main
from llmos.infra.settings import get_settings


def llmos(server: LiveServer, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "llmos.cli", *words],
        env=server.env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def quick(server: LiveServer) -> Iterator[Callable[..., Result]]:
    """Runs a command inside this process, where only its answer matters."""
    get_settings.cache_clear()

    def run(*words: str, stdin: str = "") -> Result:
        return CliRunner().invoke(main, list(words), input=stdin, env=server.env)

    yield run
    get_settings.cache_clear()


def whoami(server: LiveServer, token: str) -> httpx.Response:
    return httpx.get(f"{server.url}/api/whoami-v2", headers={"authorization": f"Bearer {token}"})


def test_help_is_quick_and_complete(server: LiveServer) -> None:
    started_at = time.monotonic()
    done = llmos(server, "--help")
    assert time.monotonic() - started_at < 3
    assert done.returncode == 0
    for noun in ("up", "serve", "user", "org", "token", "repo", "config", "doctor", "backup", "restore"):
        assert re.search(rf"^  {noun}\b", done.stdout, re.MULTILINE), noun


def test_help_imports_nothing_of_the_server() -> None:
    code = "import sys, llmos.cli; print('sqlalchemy' in sys.modules, 'fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False False\n"


def test_from_a_person_to_a_working_token(server: LiveServer) -> None:
    made = llmos(
        server, "user", "create", "hedy", "--password-stdin", "--fullname", "Hedy L", "--email",
        "hedy@example.org", "--json", stdin="a long enough secret\n",
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["fullname"] == "Hedy L"
    org = llmos(server, "org", "create", "radio", "--owner", "hedy", "--default-visibility", "private")
    assert org.returncode == 0, org.stderr
    added = llmos(server, "org", "add-member", "radio", "grace", "--role", "read", "--json")
    assert json.loads(added.stdout) == {"name": "radio", "user": "grace", "role": "read"}
    token = llmos(server, "token", "create", "hedy", "--name", "ci", "--scope", "write")
    value = token.stdout.splitlines()[-1]
    assert re.fullmatch(r"hf_[A-Za-z0-9]{37}", value)
    me = whoami(server, value).json()
    assert (me["name"], [org["name"] for org in me["orgs"]]) == ("hedy", ["radio"])
    listed = json.loads(llmos(server, "token", "list", "hedy", "--json").stdout)
    assert [(row["name"], row["role"]) for row in listed] == [("ci", "write")]
    assert value not in llmos(server, "token", "list", "hedy").stdout
    assert llmos(server, "token", "revoke", "hedy", "ci").returncode == 0
    assert whoami(server, value).status_code == 401


def test_a_token_value_can_be_imported(server: LiveServer, quick: Callable[..., Result]) -> None:
    value = "hf_" + "Z" * 34
    done = quick("token", "create", "ada", "--name", "old", "--scope", "read", "--value-stdin", stdin=value)
    assert done.stdout.splitlines()[-1] == value
    assert whoami(server, value).json()["auth"]["accessToken"]["role"] == "read"


def test_fine_grained_tokens(server: LiveServer, quick: Callable[..., Result]) -> None:
    words = ["token", "create", "ada", "--name", "narrow", "--scope", "fine-grained", "--json"]
    done = quick(*words, "--grant", "lab=repo.read", "--grant", "model:ada/tiny=repo.write")
    assert json.loads(done.stdout)["role"] == "fineGrained"
    assert quick(*words).exit_code == 1


def test_disabling_closes_the_door_at_once(server: LiveServer, quick: Callable[..., Result]) -> None:
    quick("user", "create", "eve", "--password-stdin", stdin="a long enough secret")
    value = quick("token", "create", "eve", "--name", "x").stdout.splitlines()[-1]
    assert whoami(server, value).status_code == 200
    assert quick("user", "disable", "eve").exit_code == 0
    assert whoami(server, value).status_code == 401
    people = {row["name"]: row for row in json.loads(quick("user", "list", "--json").stdout)}
    assert people["eve"]["disabled"] is True
    assert people["root-admin"]["isAdmin"] is True
    assert quick("user", "enable", "eve").exit_code == 0
    assert whoami(server, value).status_code == 200


def test_a_reset_link_opens_on_the_server(server: LiveServer, quick: Callable[..., Result]) -> None:
    done = quick("user", "reset-link", "grace")
    url = done.stdout.strip()
    assert url.startswith(server.url)
    assert httpx.get(url, headers={"accept": "text/html"}).status_code == 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["user", "create", "ADA"], "is taken"),
        (["user", "create", "settings"], "is reserved"),
        (["user", "disable", "nobody"], "no person called nobody"),
        (["user", "disable", "root-admin"], "last administrator"),
        (["org", "create", "lab", "--owner", "ada"], "is taken"),
        (["org", "create", "club", "--owner", "nobody"], "no person called nobody"),
        (["org", "remove-member", "lab", "ada"], "needs an admin"),
        (["token", "create", "nobody", "--name", "x"], "no person called nobody"),
        (["token", "revoke", "ada", "nothing"], "has no token"),
    ],
)
def test_refusals_are_one_line_and_exit_1(
    quick: Callable[..., Result], words: list[str], message: str
) -> None:
    done = quick(*words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert message in done.stderr
    as_json = quick(*words, "--json")
    assert as_json.exit_code == 1
    assert message in json.loads(as_json.stdout)["error"]


@pytest.mark.parametrize("stdin", ["", "\n", "short\n"])
def test_missing_and_weak_passwords(quick: Callable[..., Result], stdin: str) -> None:
    assert quick("user", "create", "weak", "--password-stdin", stdin=stdin).exit_code == 1


@pytest.mark.parametrize("words", [["frob"], ["user"], ["user", "create"], ["token", "create", "ada"]])
def test_misuse_exits_2(quick: Callable[..., Result], words: list[str]) -> None:
    assert quick(*words).exit_code == 2


def test_bad_settings_are_named(server: LiveServer) -> None:
    server = LiveServer(server.url, server.home, {**server.env, "LLMOS_PORT": "none"}, server.process)
    done = llmos(server, "user", "list")
    assert (done.returncode, "LLMOS_PORT" in done.stderr) == (1, True)
