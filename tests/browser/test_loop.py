"""The whole loop as a newcomer clicks it: from a button to an answer of their own model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from kit.browser import PASSWORD
from kit.runners import wait_until
from kit.server import free_port
from llmos.runner.bubblewrap import probe_isolation

from .conftest import sign_in

pytestmark = pytest.mark.browser
STEPS = ("text", "tokenizer", "train", "push", "evaluate", "board", "serve", "discuss")


@contextmanager
def llmos_up(home: Path) -> Iterator[str]:
    """`llmos up` on an empty folder, with its own runner and the content that comes along."""
    port = free_port()
    env = {key: value for key, value in os.environ.items() if not key.startswith(("LLMOS_", "HF_"))}
    env |= {"LLMOS_HOME": str(home), "LLMOS_PORT": str(port), "LLMOS_EXTRAS": "hub", "LLMOS_RUNNER": "on"}
    home.mkdir(parents=True)
    command = [sys.executable, "-m", "llmos.cli"]
    create = [*command, "user", "create", "lovelace", "--admin", "--password-stdin"]
    subprocess.run(create, env=env, input=PASSWORD, text=True, check=True, capture_output=True)
    log = home / "up.log"
    with (
        log.open("wb") as file,
        subprocess.Popen([*command, "up"], env=env, stdout=file, stderr=subprocess.STDOUT) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: _answers(url), limit_s=90, what=log.read_text)
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/health").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def page(chromium: Browser, tmp_path: Path) -> Iterator[Page]:
    if problem := probe_isolation().reason:
        pytest.skip(problem)
    with llmos_up(tmp_path / "home") as url:
        context = chromium.new_context(base_url=url, locale="en-GB")
        page = context.new_page()
        page.set_default_timeout(15_000)
        yield page
        context.close()


def wait_for(page: Page, step: str, limit_s: float) -> None:
    """Until the page says, by itself, that a step is done."""
    done = page.locator(f"[data-step={step}][data-state=done]")
    failed = page.locator("[data-state=failed]")
    expect(done.or_(failed).first).to_be_attached(timeout=limit_s * 1000)
    assert failed.count() == 0, failed.inner_text()


def go_through(page: Page, limit_s: float) -> str:
    """Watch the run from the first step to the last; the name of the model."""
    expect(page).to_have_url(re.compile(r"/quickstart/[0-9a-f]{24}$"))
    wait_for(page, "train", limit_s)
    page.reload()
    expect(page.locator("[data-step=train] svg[role=img], [data-step=train] .chart").first).to_be_visible()
    for step in STEPS:
        wait_for(page, step, limit_s)
    own = page.locator("tr.qs-own").first
    expect(own).to_contain_text("yours")
    assert float(own.locator("td").nth(1).inner_text()) > 0
    assert page.locator("tr", has_text="llmos/baseline-trigram").count() > 0
    answer = page.locator("[data-step=serve] .qs-answer").first
    assert len(answer.inner_text().strip()) > len("The people of")
    return "lovelace/first-llm"


def chat(page: Page) -> None:
    """Out of the run's page into the playground, and a first answer of one's own model there."""
    page.get_by_role("link", name="Try it in the playground").click()
    page.fill("[data-play-text]", "The people of the")
    page.click("[data-play-send]")
    answer = page.locator(".play-answer").last
    expect(answer.locator(".play-facts")).to_contain_text("tokens", timeout=60_000)
    assert answer.locator(".play-plain").inner_text().strip()


def stage_times(page: Page, run: str) -> dict[str, float]:
    """What the run itself says each step took; what `llmos quickstart` reads."""
    told = page.request.get(f"/api{run}").json()
    assert told["state"] == "done"
    assert told["training"]["tokens"] > 0
    return {step["key"]: step["seconds"] for step in told["steps"]}


def read_on(page: Page, model: str, run: str) -> None:
    page.goto(run)
    page.get_by_role("link", name="Its discussion").click()
    expect(page.locator("main")).to_contain_text("My first model")
    expect(page.locator("main")).to_contain_text("bits_per_byte")
    page.goto(f"/{model}")
    expect(page.locator("main")).to_contain_text("first-llm")


def test_a_button_trains_scores_serves_and_opens_the_talk(page: Page) -> None:
    sign_in(page, "lovelace")
    page.get_by_role("link", name="Train your first model").click()
    page.goto("/quickstart?minutes=0.05")
    page.get_by_text("Choose more").click()
    page.select_option("[name=lang]", "en")
    page.get_by_role("button", name="Train my first model").click()
    model = go_through(page, limit_s=400)
    run = urlsplit(page.url).path
    times = stage_times(page, run)
    assert all(seconds is not None for seconds in times.values()), times
    chat(page)
    read_on(page, model, run)


@pytest.mark.slow
def test_in_less_than_five_minutes(page: Page, record_property: Callable[[str, object], None]) -> None:
    """As it is offered: two minutes of training, both languages. The clock runs from the moment that a
    `llmos up` on an empty folder answers to the first answer in the playground."""
    began = time.monotonic()
    sign_in(page, "lovelace")
    page.get_by_role("link", name="Train your first model").click()
    page.get_by_role("button", name="Train my first model").click()
    model = go_through(page, limit_s=600)
    run = urlsplit(page.url).path
    chat(page)
    took_s = time.monotonic() - began
    times = stage_times(page, run)
    said = ", ".join(f"{key} {seconds:.0f} s" for key, seconds in times.items())
    record_property("stages", said)
    print(f"\nfrom `llmos up` to the first chat: {took_s:.0f} s ({said})")
    assert took_s < 300, said
    read_on(page, model, run)
