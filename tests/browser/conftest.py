"""Real Chromium against a live server; a page that complains fails its test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright
from sqlalchemy import select

from kit.browser import PASSWORD
from kit.server import LiveServer
from llmos.features.accounts.models import User
from llmos.features.auth.edge import SESSION_COOKIE
from llmos.infra.runtime import open_runtime
from llmos.infra.security.passwords import hash_password
from llmos.infra.settings import Settings

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SYSTEM_CHROMIUM = os.environ.get("LLMOS_TEST_CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Closed with each module: while Playwright is open, no test can run an event loop of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=SYSTEM_CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(server: LiveServer) -> LiveServer:
    """The live server, where everybody has a password."""
    extra = {"database_url": server.env["LLMOS_DATABASE_URL"]} if "LLMOS_DATABASE_URL" in server.env else {}
    rt = open_runtime(Settings(home=server.home, **extra))
    password_hash = hash_password(PASSWORD)
    with rt.database.writing() as db:
        for user in db.scalars(select(User)).unique():
            user.password_hash = password_hash
    rt.close()
    return server


Open = Callable[..., Page]


@pytest.fixture(scope="module")
def sessions(site: LiveServer) -> dict[str, list[Any]]:
    """The session of everybody who has signed in, as a cookie for the next browser of theirs."""
    return {}


@pytest.fixture
def open_page(chromium: Browser, site: LiveServer, sessions: dict[str, list[Any]]) -> Iterator[Open]:
    """Open a page as somebody: `open_page("/new", who="ada", width=390, locale="zh-CN")`.

    Whoever comes for the second time within a module is signed in already: nobody signs out.
    At the end of the test no page may have logged an error: a broken script, a refused style or
    a missing file shows there.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def note(page: Page, message: ConsoleMessage) -> None:
        if message.type == "error":
            complaints.append(f"{page.url}: {message.text}")

    def open_as(path: str, who: str | None = None, width: int = 1280, **options: Any) -> Page:
        context = chromium.new_context(
            base_url=site.url, viewport={"width": width, "height": 900}, **({"locale": "en-GB"} | options)
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on("console", lambda message: note(page, message))
        if who in sessions:
            context.add_cookies(sessions[who])
        elif who is not None:
            sign_in(page, who)
            sessions[who] = [cookie for cookie in context.cookies() if cookie["name"] == SESSION_COOKIE]
        page.goto(path)
        return page

    yield open_as
    for context in contexts:
        context.close()
    assert not complaints, complaints


def sign_in(page: Page, who: str) -> None:
    page.goto("/login")
    page.fill("[name=login]", who)
    page.fill("[name=password]", PASSWORD)
    page.click("main button[type=submit]")
    page.wait_for_url("**/")
