"""A browser for in-process tests: keeps cookies, takes form tokens from pages, sends Origin."""

from __future__ import annotations

import re

import httpx
from starlette.testclient import TestClient

ORIGIN = "http://testserver"
PASSWORD = "correct horse battery"


class Browser:
    """One visitor with cookies of their own."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, **kwargs: str) -> httpx.Response:
        return self.client.get(path, headers={"accept": "text/html", **kwargs})

    def token(self, page: str = "/login") -> str:
        text = self.get(page).text
        found = re.search(r'name="csrf_token" value="([^"]+)"', text)
        assert found is not None, text
        return found[1]

    def post(self, path: str, page: str = "/settings/profile", **data: object) -> httpx.Response:
        fields = {"csrf_token": self.token(page), **data}
        return self.client.post(path, data=fields, headers={"origin": ORIGIN, "accept": "text/html"})

    def sign_in(self, name: str, password: str = PASSWORD, next: str = "/") -> httpx.Response:
        return self.post("/login", "/login", login=name, password=password, next=next)
