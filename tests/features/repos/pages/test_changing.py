"""Pages that change something: create, upload, edit, settings, access, deletion; and their refusals."""

from __future__ import annotations

import re
from collections.abc import Callable

from llmos.core.repo_types import RepoType
from llmos.features.repos.models import Repo
from llmos.infra.runtime import Runtime

from .conftest import Put, Visitors

MakeRepo = Callable[..., Repo]


def test_every_type_can_be_created(visitors: Visitors) -> None:
    places = {"/new": "", "/new-dataset": "/datasets", "/new-space": "/spaces", "/new-tool": "/kernels"}
    for address, prefix in places.items():
        made = visitors.post(
            address, "ada", owner="ada", name="first", license="mit", visibility="public", sdk="static"
        )
        assert made.headers["location"] == f"{prefix}/ada/first"
        assert "MIT" in visitors.get(f"{prefix}/ada/first").text


def test_a_new_name_is_checked_with_clear_words(visitors: Visitors, make_repo: MakeRepo) -> None:
    make_repo("taken")
    taken = visitors.post("/new", "ada", owner="ada", name="Taken")
    assert taken.status_code == 409
    assert "choose another one" in taken.text
    assert 'value="Taken"' in taken.text
    bad = visitors.post("/new", "ada", owner="ada", name="no spaces!")
    assert bad.status_code == 400
    assert "Use letters, digits" in bad.text
    strange = visitors.post("/new", "ada", owner="grace", name="mine")
    assert strange.status_code == 403
    assert visitors.post("/new", None, owner="ada", name="x").status_code == 403
    assert visitors.get("/ada/x").status_code == 404


def test_upload_keeps_small_text_in_git_and_large_things_apart(
    visitors: Visitors, make_repo: MakeRepo, rt: Runtime
) -> None:
    make_repo("tiny-llm")
    weights = bytes(range(256)) * 64
    sent = visitors.upload(
        "/ada/tiny-llm/upload/main",
        "ada",
        {"notes.txt": "第一行\n".encode(), "deep/model.safetensors": weights},
        folder="runs",
        summary="Bring files",
    )
    assert sent.status_code == 303
    assert sent.headers["location"] == "/ada/tiny-llm/tree/main/runs"
    listed = visitors.get("/ada/tiny-llm/tree/main/runs").text
    assert "Bring files" in listed
    assert "第一行" in visitors.get("/ada/tiny-llm/blob/main/runs/notes.txt").text
    assert "Large file" in visitors.get("/ada/tiny-llm/blob/main/runs/deep/model.safetensors").text
    assert visitors.get("/ada/tiny-llm/resolve/main/runs/deep/model.safetensors").content == weights
    assert not list(rt.settings.tmp_root.glob("web-*"))


def test_a_script_gets_the_place_to_go_to(visitors: Visitors, make_repo: MakeRepo) -> None:
    make_repo("tiny-llm")
    headers = {"authorization": f"Bearer {visitors.tokens['ada']}", "x-requested-with": "upload"}
    answer = visitors.client.post(
        "/ada/tiny-llm/upload/main", files=[("files", ("a.txt", b"a"))], headers=headers
    )
    assert answer.json() == {"location": "/ada/tiny-llm/tree/main"}


def test_bad_uploads_change_nothing(visitors: Visitors, make_repo: MakeRepo, rt: Runtime) -> None:
    make_repo("tiny-llm")
    before = visitors.get("/ada/tiny-llm/commits/main").text.count("commit-row")
    bad: list[tuple[dict[str, bytes], int]] = [
        ({}, 400),
        ({"../out.txt": b"x"}, 422),
        ({".git/config": b"x"}, 422),
        ({"README.md": b"---\nlicense: [\n---\n"}, 400),
    ]
    for files, status in bad:
        answer = visitors.upload("/ada/tiny-llm/upload/main", "ada", files, summary="x")
        assert answer.status_code == status, files
    assert visitors.get("/ada/tiny-llm/commits/main").text.count("commit-row") == before
    assert not list(rt.settings.tmp_root.glob("web-*"))


def test_malformed_uploads_are_refused_and_leave_nothing(
    visitors: Visitors, make_repo: MakeRepo, rt: Runtime
) -> None:
    make_repo("tiny-llm")
    form = "multipart/form-data; boundary=x"
    cut = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nab'
    bodies = [
        ("text/plain", b"hello"),
        ("multipart/form-data", b"hello"),
        (form, b"garbage"),
        (form, cut),
        (form, b"--x\r\n" + b"A" * 9000),
    ]
    for content_type, body in bodies:
        headers = visitors.headers("ada") | {"content-type": content_type}
        answer = visitors.client.post("/ada/tiny-llm/upload/main", content=body, headers=headers)
        assert answer.status_code == 400, body[:40]
    assert not list(rt.settings.tmp_root.glob("web-*"))


def test_strangers_cannot_upload(visitors: Visitors, make_repo: MakeRepo, rt: Runtime) -> None:
    make_repo("tiny-llm")
    assert visitors.upload("/ada/tiny-llm/upload/main", "grace", {"a": b"a"}).status_code == 403
    assert (
        visitors.upload("/ada/tiny-llm/upload/main", None, {"a": b"a"})
        .headers["location"]
        .startswith("/login")
    )
    assert not list(rt.settings.tmp_root.glob("web-*"))


def _parent(visitors: Visitors, address: str) -> str:
    found = re.search(r'name="parent" value="([0-9a-f]*)"', visitors.get(address, "ada").text)
    assert found is not None
    return found[1]


def _edit(visitors: Visitors, address: str, who: str = "ada", **fields: str) -> int:
    parts = [(name, (None, value)) for name, value in fields.items()]
    headers = visitors.headers(who)
    return visitors.client.post(address, files=parts, headers=headers).status_code


def test_edit_rename_and_delete_a_file(visitors: Visitors, make_repo: MakeRepo, put: Put) -> None:
    put(make_repo("tiny-llm"), {"a.txt": "one\n"})
    address = "/ada/tiny-llm/edit/main/a.txt"
    parent = _parent(visitors, address)
    assert _edit(visitors, address, path="b.txt", content="two\r\n", summary="Rename", parent=parent) == 303
    assert visitors.get("/ada/tiny-llm/raw/main/b.txt").content == b"two\n"
    assert visitors.get("/ada/tiny-llm/blob/main/a.txt").status_code == 404
    assert visitors.post("/ada/tiny-llm/delete/main/b.txt", "ada", summary="Gone").status_code == 303
    assert visitors.get("/ada/tiny-llm/blob/main/b.txt").status_code == 404
    assert "Gone" in visitors.get("/ada/tiny-llm/commits/main").text


def test_who_comes_second_keeps_their_text(visitors: Visitors, make_repo: MakeRepo, put: Put) -> None:
    repo = make_repo("tiny-llm")
    put(repo, {"a.txt": "one\n"})
    address = "/ada/tiny-llm/edit/main/a.txt"
    parent = _parent(visitors, address)
    put(repo, {"a.txt": "somebody else\n"})
    parts = [("path", (None, "a.txt")), ("content", (None, "my long thoughts")), ("parent", (None, parent))]
    headers = visitors.headers("ada")
    answer = visitors.client.post(address, files=parts, headers=headers)
    assert answer.status_code == 412
    assert answer.text.count("my long thoughts") == 2, "in the editor, and compared"
    assert "somebody else" in answer.text
    assert visitors.get("/ada/tiny-llm/raw/main/a.txt").content == b"somebody else\n"
    newer = re.search(r'name="parent" value="([0-9a-f]*)"', answer.text)
    assert newer is not None
    assert _edit(visitors, address, path="a.txt", content="both", parent=newer[1]) == 303
    assert visitors.get("/ada/tiny-llm/raw/main/a.txt").content == b"both"


def test_a_change_elsewhere_is_no_quarrel(visitors: Visitors, make_repo: MakeRepo, put: Put) -> None:
    repo = make_repo("tiny-llm")
    put(repo, {"a.txt": "one\n", "b.txt": "one\n"})
    address = "/ada/tiny-llm/edit/main/a.txt"
    parent = _parent(visitors, address)
    put(repo, {"b.txt": "two\n"})
    why = "Because one is not enough."
    fields = {"path": "a.txt", "content": "mine\n", "summary": "Say two", "description": why}
    assert _edit(visitors, address, parent=parent, **fields) == 303
    assert visitors.get("/ada/tiny-llm/raw/main/b.txt").content == b"two\n"
    assert why in visitors.get("/ada/tiny-llm/commit/" + _parent(visitors, address)).text


def test_a_new_file_does_not_overwrite(visitors: Visitors, make_repo: MakeRepo, put: Put) -> None:
    put(make_repo("tiny-llm"), {"a.txt": "one\n"})
    assert _edit(visitors, "/ada/tiny-llm/new/main", path="a.txt", content="two") == 400
    assert _edit(visitors, "/ada/tiny-llm/new/main", path="c/d.txt", content="new") == 303
    assert _edit(visitors, "/ada/tiny-llm/new/main", "grace", path="e.txt", content="new") == 403
    assert visitors.get("/ada/tiny-llm/raw/main/a.txt").content == b"one\n"


def test_liking_is_a_switch(visitors: Visitors, make_repo: MakeRepo) -> None:
    make_repo("tiny-llm")
    assert visitors.post("/ada/tiny-llm/like").status_code == 403
    visitors.post("/ada/tiny-llm/like", "grace")
    assert 'aria-pressed="true"' in visitors.get("/ada/tiny-llm", "grace").text
    visitors.post("/ada/tiny-llm/like", "grace")
    assert 'aria-pressed="false"' in visitors.get("/ada/tiny-llm", "grace").text


def test_settings_rename_hide_copy_delete_and_restore(visitors: Visitors, make_repo: MakeRepo) -> None:
    make_repo("tiny-llm")
    settings = "/ada/tiny-llm/settings"
    assert visitors.post(settings, "grace", action="visibility", visibility="private").status_code == 403
    moved = visitors.post(settings, "ada", action="rename", owner="lab", name="small-llm")
    assert moved.headers["location"] == "/lab/small-llm/settings"
    assert visitors.get("/ada/tiny-llm").headers["location"] == "/lab/small-llm"
    settings = "/lab/small-llm/settings"
    copied = visitors.post(settings, "ada", action="duplicate", owner="ada", name="copy")
    assert copied.headers["location"] == "/ada/copy"
    again = visitors.post(settings, "ada", action="duplicate", owner="ada", name="copy")
    assert again.status_code == 409
    assert "already exists" in again.text
    visitors.post(settings, "ada", action="visibility", visibility="private")
    assert visitors.get("/lab/small-llm").status_code == 404
    assert visitors.post(settings, "ada", action="delete", confirm="small-llm").status_code == 400
    gone = visitors.post(settings, "ada", action="delete", confirm="lab/small-llm")
    assert gone.headers["location"] == "/lab/-/deleted"
    assert visitors.get("/lab/small-llm", "ada").status_code == 404
    page = visitors.get("/lab/-/deleted", "ada").text
    object_id = re.search(r'name="object_id" value="([0-9a-f]+)"', page)
    assert object_id is not None
    assert visitors.get("/lab/-/deleted", "grace").status_code == 403
    assert visitors.post("/lab/-/deleted", "grace", object_id=object_id[1]).status_code in (403, 404)
    back = visitors.post("/lab/-/deleted", "ada", object_id=object_id[1])
    assert back.headers["location"] == "/lab/small-llm"
    assert visitors.post(back.headers["location"] + "/settings", "ada", action="nonsense").status_code == 400


def test_branches_and_tags_come_and_go(visitors: Visitors, make_repo: MakeRepo) -> None:
    make_repo("tiny-llm")
    address = "/ada/tiny-llm/branches"

    def act(who: str | None = "ada", **fields: str) -> int:
        return visitors.post(address, who, **fields).status_code

    assert act(action="create-branch", name="next") == 303
    assert act(action="create-branch", name="next") == 409
    assert act(action="create-branch", name="bad name") == 400
    assert act(action="create-tag", name="v1", message="First") == 303
    assert act(action="delete-branch", name="main") == 403
    assert act("grace", action="delete-branch", name="next") == 403
    assert act(None, action="delete-branch", name="next") == 403
    assert act(action="delete-branch", name="next") == 303
    assert act(action="delete-tag", name="v1") == 303
    assert "None yet." in visitors.get(address).text


def test_branches_are_protected_by_their_admins(visitors: Visitors, make_repo: MakeRepo) -> None:
    make_repo("tiny-llm")
    address = "/ada/tiny-llm/branches"
    visitors.post(address, "ada", action="create-branch", name="release/1", **{"from": "main"})
    assert visitors.post(address, "grace", action="protect", pattern="release/*").status_code == 403
    for bad in ("", "a b", "x" * 201, "a\0b"):
        assert visitors.post(address, "ada", action="protect", pattern=bad).status_code == 400
    for _ in range(2):
        assert visitors.post(address, "ada", action="protect", pattern="release/*").status_code == 303
    page = visitors.get(address, "ada").text
    assert page.count('name="pattern" value="release/*"') == 1
    assert ">Protected<" in page
    assert ">Protected<" in visitors.get(address).text
    assert 'value="release/*"' not in visitors.get(address).text
    refused = visitors.post(address, "ada", action="delete-branch", name="release/1")
    assert (refused.status_code, "protected" in refused.text) == (403, True)
    assert visitors.post(address, "ada", action="unprotect", pattern="release/*").status_code == 303
    assert visitors.post(address, "ada", action="unprotect", pattern="release/*").status_code == 404
    assert visitors.post(address, "ada", action="delete-branch", name="release/1").status_code == 303


def test_gated_content_is_asked_for_and_granted(visitors: Visitors, make_repo: MakeRepo, put: Put) -> None:
    repo = make_repo("talks", repo_type=RepoType.DATASET)
    card = "---\nextra_gated_fields:\n  Team: text\n  I agree: checkbox\n---\n# Talks\n"
    put(repo, {"README.md": card, "a.txt": "hidden words\n"})
    href = "/datasets/ada/talks"
    visitors.post(f"{href}/settings", "ada", action="gating", gated="manual")
    assert "hidden words" not in visitors.get(f"{href}/blob/main/a.txt", "grace").text
    assert visitors.get(f"{href}/blame/main/a.txt", "grace").status_code == 403
    assert "Sign in to ask" in visitors.get(href).text
    form = visitors.get(href, "grace").text
    assert 'name="field:Team"' in form
    assert visitors.post(f"{href}/access", "grace", **{"field:Team": "x"}).status_code == 400
    asked = visitors.post(f"{href}/access", "grace", **{"field:Team": "Numbers", "field:I agree": "on"})
    assert asked.headers["location"] == href
    assert "waiting for the authors" in visitors.get(href, "grace").text
    settings = visitors.get(f"{href}/settings", "ada").text
    assert "Numbers" in settings
    granted = visitors.post(f"{href}/settings", "ada", action="request", user="grace", status="accepted")
    assert granted.status_code == 303
    assert "hidden words" in visitors.get(f"{href}/blob/main/a.txt", "grace").text
