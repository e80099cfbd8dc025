"""Every page, on a phone and on a desk, in both languages and both lights."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.seed import seed
from kit.server import LiveServer

from .conftest import Open

pytestmark = pytest.mark.browser

PAGES = (
    "/", "/docs", "/models", "/datasets", "/spaces", "/kernels", "/search?q=tiny", "/ada", "/lab",
    "/ada/tiny-llm", "/datasets/grace/news-zh", "/datasets/grace/dialogues", "/spaces/lab/attention-drawn",
    "/ada/tiny-llm/tree/main", "/ada/tiny-llm/blob/main/README.md",
    "/ada/tiny-llm/blob/main/training/train.py",
    "/ada/tiny-llm/blob/main/model.safetensors", "/datasets/grace/news-zh/blob/main/data/train.parquet",
    "/datasets/grace/news-zh/blob/main/sample.csv", "/ada/tiny-llm/commits/main", "/ada/tiny-llm/branches",
    "/ada/tiny-llm/compare/v1.0...main", "/ada/tiny-llm/blame/main/README.md", "/-/patterns",
)  # fmt: skip
OWN_PAGES = (
    "/", "/new", "/new-space", "/ada/notebook", "/ada/tiny-llm/settings", "/ada/tiny-llm/upload/main",
    "/ada/tiny-llm/edit/main/README.md", "/ada/tiny-llm/delete/main/config.json", "/ada/-/deleted",
    "/ada/tiny-llm/branches",
)  # fmt: skip
MAX_PAGE_BYTES = 150_000

CHECK = """() => {
  const found = [];
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth) found.push(`scrolls sideways: ${width}`);
  const named = (el) => (el.ariaLabel || el.textContent || el.title || '').trim()
    || el.labels?.length || el.querySelector?.('[aria-label]');
  const controls = 'a[href], button, input:not([type=hidden]), select, textarea, summary';
  for (const el of document.querySelectorAll(controls))
    if (!named(el)) found.push(`no name: ${el.outerHTML.slice(0, 120)}`);
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
def world(site: LiveServer) -> LiveServer:
    seed(site.url, site.tokens)
    return site


@pytest.mark.parametrize(
    ("width", "locale", "scheme", "who"),
    [
        (1280, "en-GB", "light", None),
        (390, "zh-CN", "dark", None),
        (390, "en-GB", "light", "ada"),
        (1280, "zh-CN", "dark", "ada"),
    ],
)
def test_pages_are_sound(
    open_page: Open, world: LiveServer, width: int, locale: str, scheme: str, who: str | None
) -> None:
    page = open_page("/", who=who, width=width, locale=locale, color_scheme=scheme)
    violations: list[str] = []
    for path in OWN_PAGES if who else PAGES:
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        assert page.evaluate(CHECK) == [], path
        page.evaluate(AXE)
        violations += [f"{path}: {found}" for found in page.evaluate(VIOLATIONS)]
    assert violations == []


def test_pages_weigh_little(open_page: Open, world: LiveServer) -> None:
    # Maths comes on top, on the pages that have some.
    for path in ("/", "/models", "/ada/tiny-llm/tree/main", "/lab/tiny-embed"):
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


def test_nothing_moves_while_pages_load(open_page: Open, world: LiveServer) -> None:
    for path in ("/", "/models", "/ada/tiny-llm/tree/main", "/ada/tiny-llm/blob/main/training/train.py"):
        page = open_page(path)
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
