"""Static Spaces in their frames: who may load what, under which headers, and what may be asked."""

from __future__ import annotations

import html
import json
import re

import pytest

from features.playground.conftest import tensor
from kit.browser import Browser
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import User
from llmos.features.apps.serving import sign_ticket
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import Repo
from llmos.infra.runtime import Runtime

CARD = "---\nsdk: static\n{more}---\n# It\n"
FILES = {
    "index.html": b"<!doctype html><title>It</title>",
    "app.js": b"export {};",
    "style.css": b"p {}",
    "data/words.json": b"{}",
    "data/index.html": b"<!doctype html><title>Data</title>",
    "tool.py": b"print(1)",
    "image.png": b"\x89PNG\r\n\x1a\n\0",
}


def make_space(
    rt: Runtime,
    people: dict[str, User],
    name: str,
    *,
    private: bool = False,
    sdk: str = "static",
    more: str = "",
) -> str:
    ada = Actor(user_id=people["ada"].id, name="ada")
    card = CARD.format(more=more).replace("static", sdk)
    with rt.database.writing() as db:
        visibility = "private" if private else "public"
        create_repo(
            db,
            ada,
            rt,
            name=name,
            repo_type=RepoType.SPACE,
            sdk=sdk,
            visibility=visibility,
            files={"README.md": card.encode(), **FILES},
        )
    return f"/spaces/ada/{name}"


def frame_of(page: str) -> str:
    found = re.search(r'data-app-frame="([^"]+)"', page)
    assert found is not None, page
    return html.unescape(found[1])


def test_a_public_application_runs_closed_in(browser: Browser, rt: Runtime, people: dict[str, User]) -> None:
    space = make_space(rt, people, "shown")
    assert f'href="{space}/app"' in browser.get(space).text
    page = browser.get(f"{space}/app")
    src = frame_of(page.text)
    folder = src.rpartition("/")[0] + "/"
    assert 'sandbox="allow-scripts allow-forms"' in page.text
    assert page.headers["content-security-policy"].endswith(f"frame-src {folder}")
    assert "lang=en" in src
    answer = browser.client.get(src)
    assert answer.content == FILES["index.html"]
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.partition(" ")[::2] for part in answer.headers["content-security-policy"].split("; "))
    assert policy["sandbox"] == "allow-scripts allow-forms"
    assert policy["default-src"] == policy["connect-src"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == folder
    assert folder.startswith(policy["frame-ancestors"] + "/spaces/ada/shown/app/")
    assert "x-frame-options" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    for path, kind in (
        ("app.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("data/words.json", "application/json"),
        ("data/", "text/html; charset=utf-8"),
        ("image.png", "image/png"),
        ("tool.py", "application/octet-stream"),
    ):
        answer = browser.client.get(folder + path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind), path
        assert answer.headers["access-control-allow-origin"] == "*", path
    for path in ("no.js", "data", "%2e%2e/x", "..%2fx", "data/..%2findex.html", "%00", "x" * 600):
        assert browser.client.get(folder + path).status_code == 404, path


def test_a_ticket_opens_one_space_for_one_person_for_a_while(
    browser: Browser, ada: Browser, grace: Browser, rt: Runtime, people: dict[str, User]
) -> None:
    hidden, other = make_space(rt, people, "hidden", private=True), make_space(rt, people, "other")
    assert browser.get(f"{hidden}/app").status_code == grace.get(f"{hidden}/app").status_code == 404
    src = frame_of(ada.get(f"{hidden}/app").text)
    # The frame brings no cookie.
    assert browser.client.get(src).status_code == 200
    assert browser.client.get(src.replace("/hidden/", "/other/")).status_code == 403
    with rt.database.reading() as db:
        repo = db.query(Repo).filter_by(name="hidden").one()
        person = Actor(user_id=people["ada"].id, name="ada")
        old = sign_ticket(rt, person, repo, ttl_s=-1)
        visitors = sign_ticket(rt, Actor(), repo)
        theirs = sign_ticket(rt, Actor(user_id=people["grace"].id, name="grace"), repo)
    for ticket, status in ((old, 403), ("forged", 403), ("a.b", 403), (visitors, 401), (theirs, 404)):
        assert browser.client.get(f"{hidden}/app/{ticket}/index.html").status_code == status, ticket
    # Open pages go on with the commit they began with, and end with the right to read.
    shared = frame_of(browser.get(f"{other}/app").text)
    ada.post(f"{other}/settings", action="visibility", visibility="private")
    assert browser.client.get(shared).status_code == 401


def test_what_cannot_run_says_how_it_could(browser: Browser, rt: Runtime, people: dict[str, User]) -> None:
    space = make_space(rt, people, "program", sdk="gradio")
    answer = browser.get(f"{space}/app")
    assert answer.status_code == 404
    assert "sdk: static" in answer.text
    assert f"{space}/app" not in browser.get(space).text
    space = make_space(rt, people, "elsewhere", more="app_file: data/index.html\n")
    assert "/data/index.html?" in frame_of(browser.get(f"{space}/app").text)
    space = make_space(rt, people, "nowhere", more="app_file: ../index.html\n")
    page = browser.get(f"{space}/app")
    assert "There is no application yet" in page.text
    assert "data-app-frame" not in page.text


def test_what_runs_for_one_becomes_anothers_own(
    browser: Browser, grace: Browser, rt: Runtime, people: dict[str, User]
) -> None:
    space = make_space(rt, people, "template")
    assert "Make it your own" in grace.get(f"{space}/app").text
    assert "Make it your own" not in browser.get(f"{space}/app").text, "a visitor has nowhere to keep it"
    answer = grace.post(f"{space}/settings", action="duplicate", owner="grace", name="mine")
    assert answer.headers["location"] == "/spaces/grace/mine"
    src = frame_of(grace.get("/spaces/grace/mine/app").text)
    assert grace.client.get(src).content == FILES["index.html"]


@pytest.mark.parametrize("task", ["text-classification", "summarization"])
def test_applications_choose_among_public_models(
    browser: Browser, ada: Browser, rt: Runtime, people: dict[str, User], task: str
) -> None:
    person = Actor(user_id=people["ada"].id, name="ada")
    files = {
        "README.md": f"---\npipeline_tag: {task}\n---\n".encode(),
        "config.json": json.dumps({"architectures": ["BertModel"], "model_type": "bert"}).encode(),
        "tokenizer.json": b"{}",
    }
    with rt.database.writing() as db:
        for name, visibility in (("open", "public"), ("closed", "private"), ("bare", "public")):
            weights = {} if name == "bare" else {"model.safetensors": tensor()}
            create_repo(db, person, rt, name=f"{name}-{task}", visibility=visibility, files=files | weights)
    found = ada.get(f"/-/apps/models?task={task}").json()["models"]
    assert [model for model in found if model["name"].endswith(task)] == [
        {"name": f"ada/open-{task}", "task": task, "chat": False}
    ]
    assert browser.get("/-/apps/models?task=%00&task=x").json() == {"models": []}


def test_asking_refuses_what_does_not_fit(
    browser: Browser, ada: Browser, rt: Runtime, people: dict[str, User]
) -> None:
    assert browser.client.post("/-/apps/task", data={"model": "ada/x"}).status_code == 403, "no form token"
    for fields, status in (
        ({"model": "ada"}, 400),
        ({"model": "ada/\0"}, 400),
        ({"model": "ada/no-such"}, 404),
        ({"model": "ada/no-such", "values": "["}, 400),
        ({"model": "ada/no-such", "values": '{"text": 1}'}, 400),
    ):
        answer = ada.post("/-/apps/task", **fields)
        assert answer.status_code == status, fields
        assert answer.json()["error"]
