"""An application in its frame: it asks a real engine through the page, and can do nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import HfApi
from playwright.sync_api import Browser, Frame, Page, expect

from kit.chat_models import head_model, writer_model
from kit.server import LiveServer
from kit.serving import put_model
from llmos.features.quickstart.demo import demo_files, demo_folder

from .conftest import Open, sign_in
from .test_quality import AXE, VIOLATIONS

pytestmark = pytest.mark.browser
START_MS = 150_000
# In a frame that may connect to nothing, axe must not fetch the styles a second time.
IN_FRAME = VIOLATIONS.replace("{ runOnly", "{ preload: false, runOnly")
# What a frame without an origin tries, and how each try has to end.
TRIES = """async () => {
  const tried = {};
  const note = async (name, doing) => {
    try { tried[name] = String(await doing()); } catch (error) { tried[name] = error.name; }
  };
  await note('page', () => parent.document.title);
  await note('cookie', () => document.cookie);
  await note('storage', () => localStorage.length);
  await note('fetch', () => fetch('/api/whoami-v2').then((answer) => answer.status));
  await note('socket', () => new Promise((open, fail) => {
    const socket = new WebSocket('wss://site.example/');
    socket.onerror = () => fail({ name: 'refused' });
    socket.onopen = open;
  }));
  await note('picture', () => new Promise((load, fail) => {
    const img = new Image();
    img.onerror = () => fail({ name: 'refused' });
    img.onload = load;
    img.src = '/favicon.ico';
  }));
  await note('leave', () => { top.location = 'https://site.example/'; return 'left'; });
  return tried;
}"""


def put_app(site: LiveServer, name: str, repo: str) -> None:
    """A shipped application as a Space of ada's."""
    api = HfApi(endpoint=site.url, token=site.tokens["ada"])
    api.create_repo(repo, repo_type="space", space_sdk="static", exist_ok=True)
    for path, content in demo_files(demo_folder() / "spaces" / name).items():
        api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=repo, repo_type="space")


def frame_in(page: Page) -> Frame:
    expect(page.frame_locator("[data-app-frame]").locator("h1")).to_be_visible()
    return page.frames[1]


def test_an_application_asks_as_the_visitor_who_allows_it(
    open_page: Open, site: LiveServer, chat_model: str
) -> None:
    put_app(site, "complete", "ada/app-writes")
    page = open_page("/spaces/ada/app-writes/app", who="grace", width=390, locale="zh-CN")
    app = page.frame_locator("[data-app-frame]")
    expect(app.locator("h1")).to_have_text("续写")
    app.locator("#model").select_option(chat_model)
    app.locator("#text").fill("Once upon")
    app.locator("#most").fill("8")
    button = app.get_by_role("button", name="接着写")
    button.click()
    expect(page.locator("[data-app-consent]")).to_contain_text(chat_model)
    page.get_by_role("button", name="暂不").click()
    expect(app.locator("[data-stage]")).to_contain_text("没有允许")
    button.click()
    page.get_by_role("button", name="本次访问允许").click()
    answer = app.locator("[data-answer]")
    expect(answer).to_contain_text("Once upon")
    expect(app.locator("[data-stage]")).to_be_empty(timeout=START_MS)
    assert len(answer.inner_text()) > len("Once upon")
    # Asked once; the page is as tall as what it shows.
    button.click()
    expect(app.locator("[data-stage]")).to_be_empty(timeout=START_MS)
    expect(page.locator("[data-app-consent]")).to_be_hidden()
    frame = frame_in(page)
    frame.evaluate(AXE)
    assert frame.evaluate(IN_FRAME) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_each_shipped_application_opens_and_says_what_is_missing(open_page: Open, site: LiveServer) -> None:
    for name in ("sentiment", "ask-a-text", "translate", "summarise"):
        put_app(site, name, f"ada/app-{name}")
        page = open_page(f"/spaces/ada/app-{name}/app", color_scheme="dark")
        app = page.frame_locator("[data-app-frame]")
        expect(app.locator("#model option").first).to_be_attached()
        frame = frame_in(page)
        frame.evaluate(AXE)
        assert frame.evaluate(IN_FRAME) == [], name
        body = frame.evaluate("Math.ceil(document.body.getBoundingClientRect().height)")
        page.wait_for_function("(size) => document.querySelector('iframe').clientHeight >= size", arg=body)
        page.wait_for_function("() => document.querySelector('iframe').offsetHeight < 900")
        is_empty = app.locator("#model").input_value() == ""
        assert page.locator("[data-app-empty]").is_visible() == is_empty, name


def put_task_model(site: LiveServer, repo: str, folder: Path, task: str) -> str:
    (folder / "README.md").write_text(f"---\npipeline_tag: {task}\n---\n\n# A tiny model\n")
    put_model(site, folder, repo)
    return repo


@pytest.mark.slow
def test_each_shipped_application_shows_what_a_real_model_answers(
    open_page: Open, site: LiveServer, chat_model: str, tmp_path: Path
) -> None:
    """Every application with an engine of the task it is made for, and a fork of one that works as well."""
    writer, labels, pointer = (tmp_path / name for name in ("writer", "labels", "pointer"))
    writer_model(writer)
    head_model(labels, "SequenceClassification", ["NEGATIVE", "POSITIVE"])
    head_model(pointer, "QuestionAnswering")
    models = {
        "translate": put_task_model(site, "ada/app-translator", writer, "translation"),
        "summarise": put_task_model(site, "ada/app-summariser", writer, "summarization"),
        "sentiment": put_task_model(site, "ada/app-labeller", labels, "text-classification"),
        "ask-a-text": put_task_model(site, "ada/app-pointer", pointer, "question-answering"),
        "complete": chat_model,
    }
    texts = {
        "translate": {"#text": "A model is something to talk to."},
        "summarise": {"#text": "The people have made a treaty with the states of the north."},
        "sentiment": {"#text": "I like it."},
        "ask-a-text": {"#context": "Grace works in Hangzhou.", "#question": "Where does Grace work?"},
        "complete": {"#text": "def add(a, b):\n    return", "#most": "8"},
    }
    for name, model in models.items():
        put_app(site, name, f"ada/real-{name}")
        page = open_page(f"/spaces/ada/real-{name}/app", who="grace")
        answer_of(page, model, texts[name])
    page.get_by_text("Make it your own").click()
    page.locator(".app-fork [name=name]").fill("real-fork")
    page.locator(".app-fork button[type=submit]").click()
    page.wait_for_url("**/spaces/grace/real-fork**")
    page.goto("/spaces/grace/real-fork/app")
    answer_of(page, chat_model, texts["complete"])


def answer_of(page: Page, model: str, fields: dict[str, str]) -> None:
    """Ask in the application of the page, allow it to, and see that an answer appears."""
    app = page.frame_locator("[data-app-frame]")
    app.locator("#model").select_option(model)
    for field, text in fields.items():
        app.locator(field).fill(text)
    app.locator("form button[type=submit], form button:not([type])").last.click()
    page.get_by_role("button", name="Allow for this visit").click()
    expect(app.locator("[data-stage]")).to_be_empty(timeout=START_MS)
    answer = app.locator("[data-answer]")
    if "complete" in page.url or "fork" in page.url:
        expect(answer).to_contain_text("return")
    expect(answer).not_to_be_empty()


def test_a_frame_reaches_nothing_but_its_page(chromium: Browser, site: LiveServer) -> None:
    put_app(site, "sentiment", "ada/app-tries")
    context = chromium.new_context(base_url=site.url)
    page = context.new_page()
    sign_in(page, "ada")
    page.goto("/spaces/ada/app-tries/app")
    frame = frame_in(page)
    assert frame.evaluate(TRIES) == {
        "page": "SecurityError",
        "cookie": "SecurityError",
        "storage": "SecurityError",
        "fetch": "TypeError",
        "socket": "refused",
        "picture": "refused",
        "leave": "SecurityError",
    }
    # What is in no list of calls is refused, and so is leaving for another address.
    said = """(op) => new Promise((hear) => {
      addEventListener('message', ({ data }) => hear(data.code), { once: true });
      parent.postMessage({ llmos: 1, id: 77, op }, '*');
    })"""
    assert frame.evaluate(said, "constructor") == "unknown"
    with page.expect_event("framenavigated"):
        frame.evaluate("() => { location = '/settings/profile'; }")
    assert "settings" not in page.frames[1].url
    context.close()
