"""Collections in a browser."""

from __future__ import annotations

import re

from features.discovery.conftest import Town


def _names(page: str) -> list[str]:
    return re.findall(r'href="/ada/(m\d)"', page)


def test_making_filling_and_ordering(town: Town) -> None:
    for number in range(3):
        town.repo(f"m{number}")
    assert town.get("/collections/new").headers["location"].startswith("/login")
    made = town.post("/collections/new", "ada", owner="ada", title="小模型 Small", visibility="private")
    href = made.headers["location"]
    assert town.post("/collections/new", "ada", owner="ada", title="小模型 small").status_code == 409
    for number in range(3):
        town.post(href, "ada", action="add", type="model", id=f"http://testserver/ada/m{number}")
    page = town.get(href, "ada").text
    assert _names(page) == ["m0", "m1", "m2"]
    last = re.findall(r'id="item-([0-9a-f]{24})"', page)[2]
    town.post(href, "ada", action="up", item=last)
    town.post(href, "ada", action="note", item=last, note="<b>good</b>")
    page = town.get(href, "ada").text
    assert _names(page) == ["m0", "m2", "m1"]
    assert "&lt;b&gt;good" in page
    assert town.get(href, "grace").status_code == 404
    assert "小模型" not in town.get("/collections").text
    assert "小模型" in town.get("/collections", "ada", locale="zh").text
    town.post(href, "ada", action="edit", title="Open", description="", visibility="public", theme="pink")
    moved = town.get(href, "grace")
    assert moved.status_code == 307
    assert town.post(href, "grace", action="remove", item=last).status_code == 403


def test_dialog_lists_a_thing_in_several(town: Town) -> None:
    town.repo("m1")
    slugs = []
    for title in ("One", "Two"):
        made = town.post("/collections/new", "ada", owner="ada", title=title)
        slugs.append(made.headers["location"].removeprefix("/collections/"))
    dialog = town.get("/collections/add", "ada", type="model", id="ada/m1").text
    assert all(slug in dialog for slug in slugs)
    town.post("/collections/add", "ada", type="model", id="ada/m1", shown=slugs, **{"in": [slugs[1]]})
    assert _names(town.get(f"/collections/{slugs[1]}").text) == ["m1"]
    assert _names(town.get(f"/collections/{slugs[0]}").text) == []
    town.post("/collections/add", "ada", type="model", id="ada/m1", shown=slugs)
    assert _names(town.get(f"/collections/{slugs[1]}").text) == []
    assert town.get("/collections/add", "grace", type="model", id="ada/none").status_code == 404
