"""Every page of this feature answers, in both languages, and refuses those it is not for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kit.browser import Browser
from llmos.features.accounts.models import User

OWN = ["/settings/profile", "/settings/account", "/settings/tokens", "/settings/organizations",
       "/organizations/new", "/device"]  # fmt: skip
PUBLIC = ["/login", "/join", "/-/forgot"]
ADMIN = ["/-/admin/users", "/-/admin/audit"]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", PUBLIC)
def test_public_pages(browser: Browser, path: str, language: str) -> None:
    page = browser.get(path, **{"accept-language": language})
    assert page.status_code == 200
    assert page.headers["x-frame-options"] == "DENY"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert ('<html lang="zh' in page.text) == (language == "zh")


@pytest.mark.parametrize("path", OWN)
def test_own_pages_send_visitors_to_sign_in(browser: Browser, path: str) -> None:
    page = browser.get(path)
    assert (page.status_code, page.headers["location"]) == (303, f"/login?next={path}")


@pytest.mark.parametrize("path", OWN)
def test_own_pages(ada: Browser, path: str) -> None:
    page = ada.get(path)
    assert page.status_code == 200, page.text
    assert "ada" in page.text


@pytest.mark.parametrize("path", ADMIN)
def test_administration_is_for_administrators(
    ada: Browser, open_browser: Callable[[], Browser], path: str
) -> None:
    assert ada.get(path).status_code == 403
    assert open_browser().get(path).status_code == 303
    admin = open_browser()
    admin.sign_in("root-admin")
    assert admin.get(path).status_code == 200


def test_settings_leads_to_the_profile(ada: Browser) -> None:
    assert ada.get("/settings").headers["location"] == "/settings/profile"


def test_preferences_are_kept_for_visitors_and_people(
    open_browser: Callable[[], Browser], people: dict[str, User]
) -> None:
    visitor = open_browser()
    visitor.post("/-/preferences", "/login", locale="zh", theme="dark", next="/login")
    page = visitor.get("/login").text
    assert '<html lang="zh-Hans" data-theme="dark">' in page
    ada = open_browser()
    ada.sign_in("ada")
    ada.post("/-/preferences", locale="zh")
    elsewhere = open_browser()
    elsewhere.sign_in("ada")
    assert 'lang="zh-Hans"' in elsewhere.get("/settings/profile").text


def test_preferences_ignore_what_we_do_not_speak(browser: Browser) -> None:
    answer = browser.post("/-/preferences", "/login", locale="tlh", theme="<script>", next="//evil.example")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert 'lang="en"' in browser.get("/login").text
