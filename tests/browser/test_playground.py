"""The playground with a real engine: chat, stop, tokens, why, two models, a link, the form on the card."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from kit.server import LiveServer
from kit.serving import engine_runner, put_model, tiny_chat_model

from .conftest import Open
from .test_quality import AXE, VIOLATIONS

pytestmark = pytest.mark.browser
START_MS = 150_000


@pytest.fixture(scope="module")
def model(server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A model that can be asked as long as the module runs."""
    name = "ada/playground-chat"
    put_model(server, tiny_chat_model(tmp_path_factory.mktemp("chat")), name)
    with engine_runner(server, tmp_path_factory.mktemp("engines")):
        yield name


def check(page: Page) -> None:
    page.evaluate(AXE)
    assert page.evaluate(VIOLATIONS) == [], page.url


def ask(page: Page, text: str, most_tokens: int = 24) -> None:
    page.locator("[data-play-panel]").evaluate("panel => { panel.open = true }")  # closed on phones
    page.fill("[data-param=max_tokens]", str(most_tokens))
    page.fill("[data-play-text]", text)
    page.click("[data-play-send]")


def ended(page: Page) -> None:
    """The answer is there, and one may write again."""
    expect(page.locator("[data-play-send]")).to_be_visible(timeout=START_MS)


def test_a_conversation_from_the_first_word_to_the_discussion(
    open_page: Open, site: LiveServer, model: str
) -> None:
    page = open_page(f"/playground?model={model}", who="ada")
    # The engine starts: one sees how far it is, and then the answer as it is written.
    ask(page, "What is a model?")
    expect(page.locator(".play-stage")).to_be_visible()
    ended(page)
    answer = page.locator(".play-answer").last
    expect(answer.locator(".play-facts")).to_contain_text("24 tokens")
    expect(page.locator("[data-play-chats] [aria-current]")).to_have_text("What is a model?")
    # Stopped, it keeps what was said so far.
    ask(page, "Never stop.", 4000)
    expect(page.locator(".play-answer").last.locator(".play-plain")).not_to_be_empty()
    page.click("[data-play-stop]")
    expect(page.locator(".play-answer").last.locator(".play-facts")).to_contain_text("stopped")
    # An edited message begins again from there.
    page.fill("[data-param=max_tokens]", "24")
    page.locator(".play-turn").first.hover()
    page.get_by_role("button", name="Edit").first.click()
    page.get_by_role("textbox", name="Edit").fill("What is a token?")
    page.get_by_role("button", name="Save and send").click()
    ended(page)
    expect(page.locator(".play-turn")).to_have_count(1)
    tokens_and_why(page)
    code_and_link(page, open_page)
    page.get_by_role("button", name="Discuss").click()
    expect(page.locator("[name=title]")).to_have_value("What is a token?")
    expect(page.locator("[name=text]")).to_have_value(re.compile(r"> What is a token\?"))


def tokens_and_why(page: Page) -> None:
    """The token view by keyboard: alternatives on focus, the reasons on Enter, tables for readers."""
    page.get_by_role("button", name="Tokens").last.click()
    expect(page.locator(".tok")).to_have_count(24)
    page.locator(".tok").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".tok").nth(1)).to_be_focused()
    expect(page.locator(".tok-bars li")).to_have_count(8)
    page.locator(".tok-table summary").click()
    expect(page.locator(".tok-table tbody tr")).to_have_count(24)
    page.locator(".tok").nth(3).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".why-text")).to_contain_text("What is a token?")
    page.get_by_role("button", name="Attention", exact=True).click()
    expect(page.locator(".why-heat")).to_be_visible()
    assert page.locator(".why-heat").get_attribute("height") == "2"  # layers
    check(page)
    page.get_by_role("button", name="How likely").click()
    page.get_by_role("button", name="Close").click()


def code_and_link(page: Page, open_page: Open) -> None:
    page.click("[data-play-code]")
    expect(page.locator("#play-code-dialog .snippet").first).to_contain_text("What is a token?")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Share it").click()
    page.wait_for_url("**/playground/s/*")
    visitor = open_page(page.url, width=390)
    expect(visitor.locator(".play-said-text")).to_have_text("What is a token?")
    page.go_back()
    expect(page.locator(".play-turn")).to_have_count(1)


def test_two_models_and_completion(open_page: Open, site: LiveServer, model: str) -> None:
    page = open_page(f"/playground?model={model}&with={model}", who="ada", color_scheme="dark")
    page.locator("[data-play-mode][value=completion]").check(force=True)
    ask(page, "Once upon a time", 12)
    ended(page)
    expect(page.locator(".play-answers.is-double .play-facts")).to_have_count(2)
    expect(page.locator(".play-answer").last).to_contain_text("12 tokens")
    check(page)
    # Another model beside it, or none: the prompt stays.
    page.fill("#play-with", "")
    page.locator("#play-with").dispatch_event("change")
    page.wait_for_url(lambda url: url.endswith("with="))
    expect(page.locator(".play-said-text")).to_have_text("Once upon a time")
    page.get_by_role("button", name="Go on writing").click()
    ended(page)
    expect(page.locator(".play-said-text")).to_have_text(re.compile("^Once upon a time.+", re.DOTALL))


def test_errors_say_what_to_do(open_page: Open, site: LiveServer, model: str) -> None:
    page = open_page(f"/{model}/playground", who="grace", width=390, locale="zh-CN")
    ask(page, "word " * 600)
    expect(page.locator(".play-answer .alert")).to_contain_text("512", timeout=START_MS)
    expect(page.get_by_role("button", name="重新回答")).to_be_visible()
    check(page)


def test_the_form_beside_the_card_and_without_script(open_page: Open, site: LiveServer, model: str) -> None:
    page = open_page(f"/{model}", who="grace")
    page.fill("[data-try] textarea", "Hello")
    page.click("[data-try-send]")
    expect(page.locator("[data-try-answer] .markdown")).not_to_be_empty(timeout=START_MS)
    plain = open_page(f"/{model}/playground", who="grace", java_script_enabled=False)
    plain.fill("[name=text]", "Hello")
    plain.fill("[name=max_tokens]", "8")
    plain.get_by_role("button", name="Send").click()
    expect(plain.locator(".play-facts")).to_contain_text("8 tokens")
    expect(plain.locator(".play-said-text")).to_have_text("Hello")
