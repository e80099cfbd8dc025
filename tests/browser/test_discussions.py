"""From an empty account to a merged pull request, in both languages, at a desk and on a phone."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from kit.browser import PASSWORD

from .conftest import Open
from .test_quality import AXE, CHECK, VIOLATIONS

pytestmark = pytest.mark.browser

SHOTS = Path(os.environ.get("LLMOS_TEST_SHOTS") or Path(__file__).parents[2] / "build" / "screenshots")
TRAIN = "import torch\n\nsteps = 10\nrate = 0.1\nprint(steps * rate)\n"


def keep(page: Page, name: str, tag: str) -> None:
    """Check the page as it is, and keep a picture of it."""
    page.evaluate(AXE)
    assert page.evaluate(VIOLATIONS) == [], page.url
    picture(page, f"discussions-{name}", tag)


def picture(page: Page, name: str, tag: str) -> None:
    """Keep a picture of a page that is sound; for pages that the tour has tested thoroughly."""
    assert page.evaluate(CHECK) == [], page.url
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}-{tag}.png", full_page=True)


def sign_up(page: Page, name: str) -> None:
    page.goto("/join")
    page.fill("[name=name]", name)
    page.fill("[name=email]", f"{name}@example.org")
    page.fill("[name=password]", PASSWORD)
    page.click("main form [type=submit]")
    page.wait_for_url("**/")


def publish(page: Page, tmp_path: Path) -> None:
    """A new model with one file, through the pages."""
    page.goto("/new")
    page.fill("[name=name]", "steps")
    page.click("main form.form [type=submit], main form [type=submit] >> nth=-1")
    page.wait_for_url("**/steps")
    (tmp_path / "train.py").write_text(TRAIN)
    page.goto(f"{page.url}/upload/main")
    page.set_input_files("[name=files]", [tmp_path / "train.py"])
    page.click("main form [type=submit] >> nth=-1")
    page.wait_for_url("**/tree/main")


@pytest.mark.parametrize(
    ("locale", "scheme", "width"),
    [("en-GB", "light", 1280), ("zh-CN", "dark", 390)],
    ids=["desk-en", "phone-zh"],
)
def test_talk_propose_review_merge(
    open_page: Open, tmp_path: Path, locale: str, scheme: str, width: int
) -> None:
    tag, owner = f"{locale[:2]}-{width}", f"owner-{locale[:2]}"
    options = {"locale": locale, "color_scheme": scheme, "width": width}
    mine = open_page("/", **options)
    sign_up(mine, owner)
    publish(mine, tmp_path)
    community = f"/{owner}/steps/discussions"

    theirs = open_page(f"{community}/new", who="grace", **options)
    theirs.fill("[name=title]", "Why ten steps?")
    theirs.fill("[name=text]", f"@{owner} is ten enough? $x^2$")
    theirs.click("main [data-submit-default]")
    theirs.wait_for_url(f"**{community}/1")
    expect(theirs.locator(".comment-body")).to_contain_text("is ten enough?")

    mine.goto(f"{community}/1")
    mine.click(".reaction-add")
    mine.click(".reaction-choice >> nth=0")
    expect(mine.locator(".reaction[aria-pressed=true]")).to_have_count(1)
    mine.click("[data-quote]")
    expect(mine.locator("#editor-text")).to_have_value(re.compile("^> @"))
    mine.locator("#editor-text").press_sequentially("More is better.")
    mine.locator("#editor-text").press("Control+Enter")
    expect(mine.locator(".comment")).to_have_count(2)
    expect(mine.locator("#editor-text")).to_have_value("")
    keep(mine, "thread", tag)

    theirs.goto(f"/{owner}/steps/edit/main/train.py")
    theirs.fill("[name=content]", TRAIN.replace("steps = 10", "steps = 100"))
    theirs.fill("[name=summary]", "Take more steps")
    theirs.click("[name=propose]")
    theirs.wait_for_url(f"**{community}/2")
    theirs.goto(community)
    expect(theirs.locator(".threads-row")).to_have_count(2)
    keep(theirs, "list", tag)

    mine.goto(f"{community}/2/files")
    mine.locator("tr.diff-added .diff-comment").focus()
    mine.keyboard.press("Enter")
    mine.locator(".line-form-slot a[hx-get]").click()
    area = mine.locator(".line-form-slot textarea")
    expect(area).to_have_value("```suggestion\nsteps = 100\n```\n")
    area.fill("Say what it is:\n\n```suggestion\nsteps = 1_000\n```")
    mine.click(".line-form [name=as]")
    expect(mine.locator(".diff-thread .comment")).to_have_count(1)
    keep(mine, "files", tag)
    mine.click("#review [data-submit-default]")
    mine.wait_for_url(f"**{community}/2")

    theirs.goto(f"{community}/2/files")
    theirs.click(".comment-apply button")
    theirs.wait_for_url(f"**{community}/2#comment-*")
    expect(theirs.locator(".timeline-event", has_text="train.py")).to_have_count(1)

    mine.goto(f"{community}/2/files")
    expect(mine.locator("tr.diff-added")).to_contain_text("steps = 1_000")
    mine.check("[name=verdict][value=approve]")
    mine.click("#review [data-submit-default]")
    mine.wait_for_url(f"**{community}/2")
    keep(mine, "pull", tag)
    mine.click("[name=method][value=squash]")
    expect(mine.locator(".merge-box-merged")).to_be_visible()
    theirs.goto(f"/{owner}/steps/blob/main/train.py")
    expect(theirs.locator(".code-lines")).to_contain_text("steps = 1_000")


def test_without_script_lines_are_commented_on_a_page(open_page: Open) -> None:
    page = open_page("/new", who="ada", java_script_enabled=False)
    page.fill("[name=name]", "plain-talk")
    page.click("text=Create")
    page.goto("/ada/plain-talk/new/main")
    page.fill("[name=path]", "a.txt")
    page.fill("[name=content]", "one\n")
    page.click("text=Commit to main")
    page.goto("/ada/plain-talk/edit/main/a.txt")
    page.fill("[name=content]", "two\n")
    page.click("[name=propose]")
    page.get_by_role("link", name="Files changed").click()
    page.locator("tr.diff-added .diff-comment").click()
    page.fill("[name=text]", "Why two?")
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.locator(".diff-thread")).to_contain_text("Why two?")
