"""Refusals on pages are in the reader's language; programs get the same English as ever."""

from __future__ import annotations

from starlette.testclient import TestClient

from llmos.app.invalid import as_bad_request
from llmos.infra.i18n import localize

ZH = {"accept": "text/html", "accept-language": "zh-CN"}


def test_pages_say_it_in_chinese_and_the_api_in_english(
    app_client: TestClient, tokens: dict[str, str]
) -> None:
    bearer = {"authorization": f"Bearer {tokens['ada']}"}
    app_client.post("/api/repos/create", json={"name": "tiny-llm"}, headers=bearer).raise_for_status()
    missing = app_client.get("/ada/tiny-llm/blob/main/no.txt", headers=ZH)
    assert missing.status_code == 404
    assert "找不到" in missing.text
    assert "Entry not found" not in missing.text
    odd = app_client.get("/models?sort=nonsense", headers=ZH)
    assert odd.status_code == 400
    assert "sort 只能是" in odd.text
    api = app_client.get("/api/models?sort=nonsense", headers={**ZH, "accept": "*/*"})
    assert api.status_code == 400
    assert api.json()["error"].startswith("sort must be one of ")
    assert api.json()["error"].endswith(", not 'nonsense'.")
    named = app_client.post("/api/repos/create", json={"name": "a--b"}, headers=bearer | ZH)
    assert "is not a valid name: use letters, digits, '-', '_' and '.', without" in named.json()["error"]


def test_rights_and_declared_types_are_refused_in_both_languages(
    app_client: TestClient, tokens: dict[str, str]
) -> None:
    ada, grace = ({"authorization": f"Bearer {tokens[name]}"} for name in ("ada", "grace"))
    app_client.post("/api/repos/create", json={"name": "tiny-llm"}, headers=ada).raise_for_status()
    page = app_client.get("/ada/tiny-llm/settings", headers=grace | ZH)
    assert page.status_code == 403
    assert "只有 ada 的管理员可以更改 ada/tiny-llm 的设置" in page.text
    assert "Only an admin" not in page.text
    settings = app_client.put("/api/models/ada/tiny-llm/settings", json={"private": True}, headers=grace | ZH)
    assert settings.json()["error"] == "Only an admin of ada may change the settings of ada/tiny-llm."
    create = {"name": "x", "organization": "lab"}
    refused = app_client.post("/api/repos/create", json=create, headers=grace)
    assert refused.json()["error"].endswith("create a repository under the namespace 'lab'.")
    memory = app_client.get("/which-model?memory=much", headers=ZH)
    assert memory.status_code == 400
    assert "memory 必须是" in memory.text


def test_what_validation_finds_keeps_its_words_for_programs() -> None:
    findings = [
        {"type": "missing", "loc": ("body", "name"), "msg": "Field required"},
        {"type": "int_parsing", "loc": ("query", "p"), "msg": "another version's words"},
        {
            "type": "greater_than_equal",
            "loc": ("query", "limit"),
            "msg": "Input should be greater than or equal to 1",
            "ctx": {"ge": 1},
        },
    ]
    message = as_bad_request(findings).message
    assert message == (
        "body.name: Field required; query.p: another version's words; "
        "query.limit: Input should be greater than or equal to 1"
    )
    assert localize(message, "zh") == (
        "body.name：缺少此字段；query.p：another version's words；query.limit：必须大于等于 1"
    )
    assert as_bad_request([]).message == "The request is malformed."
