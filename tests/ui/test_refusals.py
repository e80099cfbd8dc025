"""Refusals on pages are in the reader's language; programs get the same English as ever."""

from __future__ import annotations

from starlette.testclient import TestClient

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
