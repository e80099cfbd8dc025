"""Hostile texts in real Chromium, without the content security policy: the renderers alone must do."""

from __future__ import annotations

import json

import pytest
from markupsafe import Markup
from playwright.sync_api import Browser, Request, Route

from kit.attacks import HTML, MARKDOWN, SVG, armed
from llmos.ui.markdown import References, render_markdown
from llmos.ui.notebook import render_notebook
from llmos.ui.patterns import patterns_page
from llmos.ui.render import PageContext

pytestmark = pytest.mark.browser
SITE = "http://site.example"

# Every handler that is there gets its event; every address is looked at.
POKE = """() => {
  const strange = [];
  for (const el of document.querySelectorAll('main *')) {
    for (const { name } of el.attributes) {
      if (name.startsWith('on')) strange.push(el.outerHTML.slice(0, 200));
      if (name.startsWith('hx-') || name.startsWith('data-hx-')) strange.push(el.outerHTML.slice(0, 200));
    }
    if (/^(script|style|iframe|object|embed|base|link|meta|form|svg|math)$/i.test(el.localName))
      strange.push(el.outerHTML.slice(0, 200));
    if (el.href && !/^(https?|mailto):/.test(String(el.href))) strange.push(el.outerHTML.slice(0, 200));
    if (el.id && !el.id.startsWith('user-content-')) strange.push(el.outerHTML.slice(0, 200));
    for (const type of ['click', 'mouseover', 'focus', 'error', 'load', 'toggle', 'animationstart'])
      el.dispatchEvent(new Event(type, { cancelable: true }));
  }
  return strange;
}"""


def look(chromium: Browser, body: str) -> tuple[list[int], list[str], list[str]]:
    """What fired, what was fetched beside pictures, and elements that should not be there."""
    fetched: list[str] = []
    context = chromium.new_context()
    page = context.new_page()
    html = (
        "<!doctype html><title>x</title><script>window.fired = [];"
        "window.fire = (n) => { fired.push(n); }; addEventListener('click', (e) => e.preventDefault());"
        f"</script><main>{body}</main>"
    )

    def answer(route: Route) -> None:
        if route.request.url == f"{SITE}/":
            route.fulfill(body=html, content_type="text/html; charset=utf-8")
        else:
            route.abort()

    def note(request: Request) -> None:
        is_document = request.url == f"{SITE}/" and request.is_navigation_request()
        if not is_document and request.resource_type not in ("image", "media"):
            fetched.append(request.url)

    page.route("**/*", answer)
    page.on("request", note)
    page.goto(f"{SITE}/", wait_until="load")
    strange = page.evaluate(POKE)
    page.evaluate("() => new Promise((done) => setTimeout(done, 300))")
    fired = page.evaluate("() => window.fired")
    context.close()
    return fired, fetched, strange


def test_the_attacks_are_attacks(chromium: Browser) -> None:
    """Unsanitised they do run here: else the other tests would show nothing."""
    sample = [text for text in HTML if text.startswith(("<img src=x", "<svg", "<details", "<video src"))]
    fired, _fetched, strange = look(chromium, "\n".join(armed(sample)))
    assert len(set(fired)) >= 8
    assert strange
    script, _fetched, _strange = look(chromium, armed(["<script>@@</script>"])[0])
    assert set(script) == {0}
    picture, _fetched, _strange = look(chromium, armed(SVG[:1])[0])
    assert set(picture) == {0}


def test_markdown_and_html_run_nothing(chromium: Browser) -> None:
    vectors = armed([*HTML, *MARKDOWN, *SVG])
    assert len(vectors) >= 100
    references = References({"ada": "/ada"}, lambda _repo, number: f"/{number}")
    rendered = [
        render_markdown(text, references=references, base_url_for_links="/a/b/", scope=f"c{number}").html
        for number, text in enumerate(vectors)
    ]
    # Alone in a paragraph, inside a line, and inside a list.
    inside = [render_markdown(f"x {text} y\n\n- {text}\n", heading_ids=False).html for text in vectors]
    assert look(chromium, "\n<hr>\n".join([*rendered, *inside])) == ([], [], [])


def test_notebooks_run_nothing(chromium: Browser) -> None:
    html, svg = armed(HTML), armed(SVG, len(HTML))
    outputs = [{"output_type": "display_data", "data": {"text/html": text}} for text in html]
    outputs += [{"output_type": "display_data", "data": {"image/svg+xml": text}} for text in svg]
    outputs += [{"output_type": "display_data", "data": {"text/latex": text}} for text in html[:9]]
    outputs += [{"output_type": "stream", "text": text} for text in html]
    outputs += [{"output_type": "display_data", "data": {"image/png": text}} for text in html[:9]]
    outputs += [{"output_type": "error", "traceback": [text]} for text in html[:9]]
    cells = [
        {"cell_type": "code", "source": text, "execution_count": text, "outputs": [output]}
        for text, output in zip([*html, *html, *html], outputs, strict=False)
    ]
    cells += [{"cell_type": kind, "source": text} for kind in ("markdown", "raw") for text in html[:40]]
    notebook = render_notebook(json.dumps({"cells": cells}))
    parts = [output.html for cell in notebook.cells for output in cell.outputs]
    parts += [cell.html for cell in notebook.cells]
    fired, fetched, strange = look(chromium, Markup("\n").join(parts))
    assert (fired, fetched, strange) == ([], [], [])


def test_the_page_around_needs_no_inline_script() -> None:
    html = patterns_page(PageContext())
    assert "javascript:" not in html
