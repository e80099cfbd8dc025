"""What people do in a browser, from an empty account to a deleted repository; also without script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .conftest import Open

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no-script"])
def test_create_upload_edit_settings_delete(open_page: Open, tmp_path: Path, has_script: bool) -> None:
    name = "journey" if has_script else "plain-journey"
    notes, weights = tmp_path / "notes.txt", tmp_path / "weights.bin"
    notes.write_text("first line\n")
    weights.write_bytes(bytes(range(256)) * 512)
    page = open_page("/new", who="ada", java_script_enabled=has_script)

    page.fill("[name=name]", name)
    page.select_option("[name=license]", "mit")
    page.click("text=Create")
    expect(page.locator("h1")).to_contain_text(name)
    expect(page.get_by_role("status").filter(has_text="created")).to_be_visible()

    page.get_by_role("link", name="Upload files").click()
    page.set_input_files("[name=files]", [notes, weights])
    page.fill("[name=summary]", "Bring the first files")
    page.click("text=Commit to main")
    page.wait_for_url(f"**/ada/{name}/tree/main")
    expect(page.locator(".file-list")).to_contain_text("notes.txt")
    expect(page.locator(".file-list")).to_contain_text("Large file")
    expect(page.get_by_role("status").filter(has_text="Files committed: 2.")).to_be_visible()

    page.click(".file-list >> text=notes.txt")
    expect(page.locator(".code-lines")).to_contain_text("first line")
    page.get_by_role("link", name="Edit", exact=True).click()
    page.fill("[name=content]", "first line\nsecond line\n")
    page.fill("[name=summary]", "Say more")
    page.click("text=Commit to main")
    expect(page.locator(".code-lines")).to_contain_text("second line")

    page.get_by_role("link", name="History", exact=True).first.click()
    expect(page.locator(".commit-list")).to_contain_text("Bring the first files")
    page.click(".commit-list >> text=Say more")
    expect(page.locator(".diff-added")).to_contain_text("second line")

    page.get_by_role("navigation", name=f"ada/{name}").get_by_role("link", name="Settings").click()
    page.get_by_text("Only you, or members").click()
    page.click("text=Save visibility")
    expect(page.locator(".repo-head")).to_contain_text("Private")

    page.fill("[name=confirm]", f"ada/{name}")
    page.get_by_role("button", name="Delete repository").click()
    expect(page.locator("main")).to_contain_text(f"ada/{name}")
    page.get_by_role("button", name="Bring back").first.click()
    expect(page.locator("h1")).to_contain_text(name)


def test_a_visitor_who_likes_is_asked_to_sign_in(open_page: Open) -> None:
    make = open_page("/new", who="ada")
    make.fill("[name=name]", "liked")
    make.click("text=Create")
    page = open_page("/ada/liked")
    page.get_by_role("button", name="Like").click()
    page.wait_for_url(re.compile(r"/login\?next=/ada/liked$"))


def test_a_dropped_file_goes_where_the_form_says(open_page: Open) -> None:
    page = open_page("/new", who="ada")
    page.fill("[name=name]", "dropped")
    page.click("text=Create")
    page.goto("/ada/dropped/upload/main")
    drop = """([name, text]) => {
      const data = new DataTransfer();
      data.items.add(new File([text], name));
      document.querySelector('[data-file-drop]').dispatchEvent(
        new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(drop, ["README.md", "---\nlicense: [\n---\n"])
    expect(page.locator("[data-file-list]")).to_contain_text("README.md")
    page.fill("[name=folder]", "data/train")
    page.click("text=Commit to main")
    page.wait_for_url("**/ada/dropped/tree/main/data/train")
    expect(page.locator(".file-list")).to_contain_text("README.md")


def test_search_suggests_while_typing(open_page: Open) -> None:
    make = open_page("/new-dataset", who="ada")
    make.fill("[name=name]", "suggested-words")
    make.click("text=Create")
    page = open_page("/")
    page.keyboard.press("/")
    page.keyboard.type("suggested")
    expect(page.get_by_role("option").first).to_contain_text("ada/suggested-words")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/datasets/ada/suggested-words")
