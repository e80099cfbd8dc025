"""A run from the form to its fork: started, watched live, stopped, compared, started again by another."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from features.jobs.conftest import FakeRunner
from kit.events import event_file
from kit.runners import Jobs, register
from kit.seed import World
from kit.server import LiveServer
from llmos.infra.i18n import translator

from .conftest import Open
from .test_discussions import picture
from .test_quality import AXE, VIOLATIONS

pytestmark = pytest.mark.browser


def check(page: Page, name: str, tag: str) -> None:
    page.evaluate(AXE)
    assert page.evaluate(VIOLATIONS) == [], page.url
    picture(page, name, tag)


@pytest.fixture
def runner(site: LiveServer) -> Any:
    """A machine of ada's that does as the test says; what other tests left in her queue is cancelled."""
    jobs = Jobs(site)
    with jobs.http:
        for job in jobs.http.get("/api/jobs/ada").json():
            if job["status"]["stage"] in ("SCHEDULING", "RUNNING"):
                jobs.cancel(job["id"])
    token = register(site, f"desk-{uuid.uuid4().hex[:6]}", owner="ada", scope="person")
    with httpx.Client(base_url=site.url, timeout=30) as http:
        yield FakeRunner(http, token)  # type: ignore[arg-type]


def losses(first_step: int, values: list[float]) -> list[dict[str, Any]]:
    return [
        {"kind": "metric", "name": name, "step": (first_step + at) * 10, "value": value}
        for at, value in enumerate(values)
        for name in ("train/loss", "eval/loss")
    ]


def start(page: Page, name: str) -> str:
    """Fill in the form for a training run; the id of the job."""
    page.fill("[name=name]", name)
    page.fill("[name='data.sources.0.dataset']", "ada/verses")
    page.select_option("[name='model.preset']", "nano")
    page.fill("[name='push.repo']", f"ada/{name}")
    page.locator("main form button[type=submit]").last.click()
    expect(page).to_have_url(re.compile(r"/jobs/ada/[0-9a-f]{24}$"))
    return page.url.rpartition("/")[2]


@pytest.mark.parametrize(("locale", "width"), [("en", 1280), ("zh", 390)])
def test_train_watch_stop_compare_fork(
    open_page: Open, site: LiveServer, runner: FakeRunner, locale: str, width: int
) -> None:
    _ = translator("zh" if locale == "zh" else "en").gettext
    options = {"width": width, "locale": "zh-CN" if locale == "zh" else "en-GB",
               "color_scheme": "dark" if locale == "zh" else "light"}  # fmt: skip
    tag = f"{locale}-{width}"
    world = World(site.url, site.tokens)
    world.create("ada/verses", "dataset")

    page = open_page("/jobs/ada/-/new", who="ada", **options)
    picture(page, "job-new", tag)
    first = start(page, f"first-{locale}")
    expect(page.locator("[data-empty]")).to_be_visible()
    spec = runner.claim()
    assert spec is not None
    assert spec["job_id"] == first
    runner.state(first, "running")
    said = [{"kind": "log", "text": f"<step {number}>"} for number in range(40)]
    runner.events(first, 0, *said, *losses(0, [5.0, 4.0, 3.0]))
    log = page.get_by_role("log")
    expect(log).to_contain_text("<step 39>")
    expect(page.locator("figure").filter(has_text="loss").first).to_be_visible()
    assert log.evaluate("(box) => box.scrollTop + box.clientHeight >= box.scrollHeight - 5")
    check(page, "job-live", tag)
    page.get_by_role("button", name=_("Stop")).click()
    expect(page.get_by_role("status").filter(has_text=_("The job is being stopped."))).to_be_visible()
    assert runner.about(first, "heartbeat", {}).json()["cancel_requested"] is True
    runner.state(first, "canceled")
    expect(page.locator("#job-live")).to_have_attribute("data-job-state", "canceled")
    # The page loads itself again once the job is over: then its charts can be zoomed.
    expect(page.locator("[data-chart]").first).to_be_visible()

    page.get_by_role("link", name=_("Fork this run")).click()
    expect(page.locator("[name=name]")).to_have_value(f"first-{locale}")
    expect(page.locator("[name='model.preset']")).to_have_value("nano")
    page.get_by_text(_("All options of the recipe")).click()
    page.locator("summary:has(code:text-is('training'))").click()
    page.fill("[name='training.seed']", "11")
    second = start(page, f"second-{locale}")
    assert runner.claim() is not None
    runner.events(second, 0, *losses(0, [5.0, 3.0, 2.0]))
    runner.state(second, "running")
    runner.state(second, "succeeded")

    page.goto(f"/jobs/ada/{second}")
    page.get_by_role("link", name=_("Compare"), exact=True).click()
    expect(page.get_by_role("checkbox", name=f"second-{locale}")).to_be_checked()
    page.get_by_role("checkbox", name=f"first-{locale}").check()
    picture(page, "experiments", tag)
    page.get_by_role("link", name="eval/loss").click()
    rows = page.locator("tbody tr").filter(has_text=f"-{locale}")
    expect(rows.first).to_contain_text(f"second-{locale}")
    for name in ("first", "second"):
        page.get_by_role("checkbox", name=f"{name}-{locale}").check()
    page.get_by_role("button", name=_("Compare chosen runs")).click()
    differing = page.locator("section").filter(has=page.get_by_role("heading", name=_("What differs")))
    expect(differing.locator("tr").filter(has_text="training.seed")).to_contain_text("11")
    expect(page.locator("tr").filter(has_text="eval/loss").first).to_contain_text(_("Best"))
    page.locator("[data-chart]").first.scroll_into_view_if_needed()
    expect(page.locator(".chart-zoom").first).to_be_visible()
    differing.locator("summary").first.click()
    expect(differing.locator(".diff-removed").filter(has_text="seed: 11")).to_be_visible()
    check(page, "experiments-compared", tag)


def test_curves_and_recipe_of_a_model_without_script(open_page: Open, site: LiveServer) -> None:
    """A pushed model has its curves beside it, and its recipe opens the form, also without script."""
    world = World(site.url, site.tokens)
    world.create("ada/with-runs")
    recipe = {"version": 1, "objective": "clm", "data": {"sources": [{"dataset": "ada/verses"}]}}
    recipe |= {"model": {"preset": "nano"}, "training": {"seed": 5}, "push": {"repo": "ada/with-runs"}}
    points = [(step, 9.0 / step) for step in range(1, 50)]
    events = {
        f"runs/{name}/events.out.tfevents.173210000{at}.box.1.0": event_file({"train/loss": points[at:]})
        for at, name in enumerate(("short", "long"))
    }
    world.put("ada/with-runs", "model", "Publish", {"recipe.yaml": json.dumps(recipe), **events})
    page = open_page("/ada/with-runs", who="grace", java_script_enabled=False)
    page.get_by_role("link", name="Training curves").click()
    expect(page.locator("figure .chart-line")).to_have_count(2)
    page.get_by_role("checkbox", name="short").uncheck()
    page.get_by_role("button", name="Show these runs").click()
    expect(page.locator("figure .chart-line")).to_have_count(1)
    page.goto("/ada/with-runs")
    page.get_by_role("link", name="Train like this").click()
    expect(page.locator("[name='push.repo']")).to_have_value("grace/with-runs")
    expect(page.locator("[name='training.seed']")).to_have_value("5")
