"""Every page, on a phone and on a desk, in both languages and both lights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from sqlalchemy import event
from starlette.testclient import TestClient

from kit.browser import Browser
from kit.seed import seed
from kit.seed_community import seed_community
from kit.server import LiveServer
from kit.tour import ROUTES_WITHOUT_A_STOP, Stop, list_stops, page_routes, route_of
from llmos.app.asgi import create_app
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings

from .conftest import Open

pytestmark = pytest.mark.browser

MAX_PAGE_BYTES = 150_000
MAX_QUERIES = 12

CHECK = """() => {
  const found = [];
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth) found.push(`scrolls sideways: ${width}`);
  const named = (el) => (el.ariaLabel || el.textContent || el.title || '').trim()
    || el.labels?.length || el.querySelector?.('[aria-label]');
  const controls = 'a[href], button, input:not([type=hidden]), select, textarea, summary';
  for (const el of document.querySelectorAll(controls))
    if (!named(el) && !el.closest('[hidden], [aria-hidden=true]'))
      found.push(`no name: ${el.outerHTML.slice(0, 120)}`);
  for (const img of document.querySelectorAll('img:not([alt])')) found.push(`no alt: ${img.src}`);
  const ids = [...document.querySelectorAll('[id]')].map((el) => el.id);
  for (const id of new Set(ids))
    if (ids.filter((other) => other === id).length > 1) found.push(`id twice: ${id}`);
  if (document.querySelectorAll('h1').length < 1) found.push('no h1');
  if (!document.title || !document.documentElement.lang) found.push('no title or language');
  return found;
}"""


# Rules of WCAG 2.2 A and AA, and what else axe holds for good practice.
AXE = (Path(__file__).parents[1] / "kit" / "axe" / "axe.min.js").read_text("utf-8")
VIOLATIONS = """async () => {
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const found = await axe.run(document, { runOnly: tags, resultTypes: ['violations'] });
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 200))}`);
}"""

WEIGHT = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .filter((entry) => entry.initiatorType !== 'img')
  .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""


@pytest.fixture(scope="module")
def runtime(site: LiveServer) -> Iterator[Runtime]:
    """A second process, so to speak, over the data of the live server."""
    extra = {"database_url": site.env["LLMOS_DATABASE_URL"]} if "LLMOS_DATABASE_URL" in site.env else {}
    rt = open_runtime(Settings(home=site.home, rate_limits=False, **extra))
    yield rt
    rt.close()


@pytest.fixture(scope="module")
def world(site: LiveServer, runtime: Runtime) -> LiveServer:
    seed(site.url, site.tokens)
    seed_community(runtime, site.url, site.tokens)
    return site


@pytest.fixture(scope="module")
def stops(world: LiveServer, runtime: Runtime) -> list[Stop]:
    with runtime.database.reading() as db:
        return list_stops(db)


@pytest.mark.parametrize(
    ("turn", "width", "locale", "scheme"),
    [
        (0, 1280, "en-GB", "light"),
        (1, 390, "zh-CN", "dark"),
        (2, 390, "en-GB", "light"),
        (3, 1280, "zh-CN", "dark"),
    ],
)
def test_pages_are_sound(
    open_page: Open, stops: list[Stop], turn: int, width: int, locale: str, scheme: str
) -> None:
    """Every page in one of four guises, in turn; at the other width without a second look by axe,
    which takes most of the time."""
    pages: dict[str | None, Page] = {}
    found: list[str] = []
    whole = [stop for stop in stops if not stop.is_part]
    for stop in whole[turn::4]:
        if stop.who not in pages:
            pages[stop.who] = open_page("/", who=stop.who, width=width, locale=locale, color_scheme=scheme)
            # Half a megabyte: handing it to each page anew takes longer than the page.
            pages[stop.who].context.add_init_script(AXE)
        page = pages[stop.who]
        answer = page.goto(stop.path)
        assert answer is not None
        assert answer.status == 200, stop
        found += [f"{stop} at {width}: {fault}" for fault in page.evaluate(CHECK)]
        found += [f"{stop} at {width}: {fault}" for fault in page.evaluate(VIOLATIONS)]
        other = 1670 - width
        page.set_viewport_size({"width": other, "height": 900})
        found += [f"{stop} at {other}: {fault}" for fault in page.evaluate(CHECK)]
        page.set_viewport_size({"width": width, "height": 900})
    assert not found, "\n".join(found)


def test_the_tour_stops_at_every_kind_of_page(stops: list[Stop]) -> None:
    seen = {route_of(stop.path) for stop in stops}
    missing = sorted(set(page_routes()) - seen - set(ROUTES_WITHOUT_A_STOP))
    assert missing == [], "add these to tests/kit/tour.py"
    assert sorted(set(ROUTES_WITHOUT_A_STOP) - set(page_routes())) == []


def test_no_page_asks_the_database_more_than_twelve_times(stops: list[Stop], runtime: Runtime) -> None:
    statements: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            statements.append(statement)

    app = create_app(runtime=runtime)
    people: dict[str | None, Browser] = {}
    for who in sorted({stop.who or "" for stop in stops}):
        people[who or None] = Browser(TestClient(app, follow_redirects=False))
        assert not who or people[who].sign_in(who).status_code == 303
    event.listen(runtime.database.engine, "before_cursor_execute", note)
    found: list[str] = []
    for stop in stops:
        people[stop.who].get(stop.path)
        statements.clear()
        answer = people[stop.who].get(stop.path)
        assert answer.status_code == 200, (stop, answer.status_code)
        if len(statements) > MAX_QUERIES:
            found += [f"{stop}: {len(statements)}", *(f"    {text[:300]}" for text in statements)]
    event.remove(runtime.database.engine, "before_cursor_execute", note)
    assert not found, "\n".join(found)


def test_pages_weigh_little(open_page: Open, stops: list[Stop]) -> None:
    # Maths comes on top, on the pages that have some.
    pulls = [stop.path for stop in stops if stop.path.endswith("/files")][:1]
    for path in ("/", "/models", "/ada/tiny-llm/tree/main", "/lab/tiny-embed", "/forum", *pulls):
        page = open_page("about:blank")
        page.goto(path)
        page.wait_for_load_state("networkidle")
        size_bytes = page.evaluate(WEIGHT)
        assert 0 < size_bytes < MAX_PAGE_BYTES, (path, size_bytes)


SHIFTS = """() => new Promise((done) => {
  new PerformanceObserver((list) => {
    window.shifted = (window.shifted ?? 0) + list.getEntries().reduce((sum, entry) => sum + entry.value, 0);
  }).observe({ type: 'layout-shift', buffered: true });
  setTimeout(() => done(window.shifted ?? 0), 500);
})"""


def test_nothing_moves_while_pages_load(open_page: Open, stops: list[Stop]) -> None:
    page = open_page("/", who="ada")
    threads = [stop.path for stop in stops if stop.who == "ada" and "/discussions/" in stop.path]
    files = ("/ada/tiny-llm", "/ada/tiny-llm/tree/main", "/ada/tiny-llm/blob/main/training/train.py")
    for path in ("/", "/models", "/forum", *files, *(path for path in threads if path.endswith("/files"))):
        page.goto(path)
        assert page.evaluate(SHIFTS) < 0.1, path


def test_the_keyboard_reaches_the_content_and_dialogs_hold_it(open_page: Open) -> None:
    page = open_page("/-/patterns")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip-link"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    page.get_by_role("button", name="Open dialog").click()
    for _ in range(8):
        page.keyboard.press("Tab")
        inside = "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        assert page.evaluate(inside)
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent").strip() == "Open dialog"


def test_visitors_see_nothing_private(open_page: Open, world: LiveServer) -> None:
    page = open_page("/models")
    assert not re.search("ada/notebook", page.inner_text("main"))
