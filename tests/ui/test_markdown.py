"""Untrusted Markdown: what it may do, and everything it may not."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.ui.markdown import ALLOWED_TAGS, ID_PREFIX, MAX_CHARS, MAX_PARAGRAPH_CHARS, render_markdown

ATTACKS = [
    "<script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    '<img src="x" onerror="alert(1)" onload=alert(1)>',
    "<svg onload=alert(1)><script>alert(1)</script></svg>",
    '<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>',
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    "<iframe src=javascript:alert(1)></iframe>",
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "<object data=javascript:alert(1)></object>",
    "<embed src=javascript:alert(1)>",
    "<form action=/logout method=post><button>x</button></form>",
    "<button formaction=javascript:alert(1)>x</button>",
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>body{display:none}</style>",
    '<p style="position:fixed;inset:0">x</p>',
    '<a href="javascript:alert(1)">x</a>',
    '<a href="JaVaScRiPt:alert(1)">x</a>',
    '<a href="java\tscript:alert(1)">x</a>',
    '<a href="java&#x0A;script:alert(1)">x</a>',
    '<a href="&#106;avascript:alert(1)">x</a>',
    '<a href=" \x01javascript:alert(1)">x</a>',
    '<a href="vbscript:x">x</a>',
    '<a href="data:text/html,<script>alert(1)</script>">x</a>',
    "[x](javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](JAVASCRIPT&colon;alert(1))",
    "![x](javascript:alert(1))",
    '![x](x"onerror="alert(1))',
    "<javascript:alert(1)>",
    '[a]: javascript:alert(1) "t"\n\n[a]',
    "<video src=x onerror=alert(1)><source onerror=alert(1)></video>",
    "<video poster=javascript:alert(1)></video>",
    "<audio src=x onloadstart=alert(1)></audio>",
    "<details open ontoggle=alert(1)>x</details>",
    "<input autofocus onfocus=alert(1)>",
    "<input type=text name=csrf_token value=x>",
    "<input type=image src=x formaction=javascript:alert(1)>",
    "<textarea><script>alert(1)</script></textarea>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<template><script>alert(1)</script></template>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version=1.0?><script>alert(1)</script>",
    '<div id="csrf_token" name="location"></div>',
    '<a id="__proto__" name="cookie"></a>',
    '<img srcset="javascript:alert(1) 1x, x.png 2x">',
    "<marquee onstart=alert(1)>x</marquee>",
    "<body onload=alert(1)>",
    "<div data-dialog-open=x hx-get=/settings hx-trigger=load data-hx-post=/logout>x</div>",
    "$<img src=x onerror=alert(1)>$",
    "$$\n</div><script>alert(1)</script>\n$$",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "`<script>alert(1)</script>`",
    "| <script>alert(1)</script> |\n|--|\n| <img src=x onerror=alert(1)> |",
    "[^1]\n\n[^1]: <script>alert(1)</script>",
    "# <img src=x onerror=alert(1)>",
    "> [!NOTE]\n> <script>alert(1)</script>",
    "- [x] <script>alert(1)</script>",
    '<span class="toast btn dialog site-header">x</span>',
    "<a href='//evil.example' target=_blank>x</a>",
    "<plaintext><script>alert(1)",
    "<xmp><script>alert(1)</script></xmp>",
    "<isindex action=javascript:alert(1)>",
    "<a href=\"https://ok.example\" onmouseover='alert(1)' ping=https://evil.example>x</a>",
    "\x00<script\x00>alert(1)</script>",
    "<ſcript>alert(1)</ſcript>",
    "<img/src=x/onerror=alert(1)>",
    "<<script>alert(1);//<</script>",
    '<a href="https://ok.example" style="background:url(javascript:alert(1))">x</a>',
]  # fmt: skip


class _Checker(HTMLParser):
    """Reads HTML as a browser would and objects to anything that could act."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED_TAGS, tag
        for name, value in attrs:
            assert not name.startswith(("on", "hx-", "data-", "form")), (tag, name)
            assert name not in ("style", "name", "target", "srcdoc", "action", "ping"), (tag, name)
            if name == "id":
                assert value is not None
                assert value.startswith(ID_PREFIX)
            if name in ("href", "src", "poster"):
                bare = re.sub(r"[\x00-\x20]", "", value or "").lower()
                scheme = bare.split(":", 1)[0] if re.match(r"[a-z0-9+.-]+:", bare) else ""
                assert scheme in ("", "http", "https", "mailto"), (tag, value)
                self.links.append(value or "")
            if name == "class":
                assert not {"toast", "btn", "dialog", "site-header", "menu-panel"} & set(
                    (value or "").split()
                )
        if tag == "a" and dict(attrs).get("href"):
            assert dict(attrs).get("rel") == "nofollow noopener"
        if tag == "input":
            assert dict(attrs)["type"] == "checkbox"
            assert "disabled" in dict(attrs)


def check_harmless(html: str) -> None:
    checker = _Checker()
    checker.feed(html)
    checker.close()


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_does_nothing(attack: str) -> None:
    check_harmless(render_markdown(attack, base_url_for_links="/a/b/", image_base="/a/b/").html)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_inside_blocks_does_nothing(attack: str) -> None:
    text = f"<div>\n\n{attack}\n\n</div>\n\n* {attack}\n\n**{attack}** text {attack}"
    check_harmless(render_markdown(text).html)


_PIECES = [
    "<", ">", '"', "'", "`", "$", "$$", "[", "](", ")", "!", "#", "|", "&", ":", "//", " ", "\t", "\n",
    "javascript:", "data:", "onerror=", "style=", "<img ", "<a href=", "<script>", "<svg ", "</", "<!--",
    "```", "~~~", "- [x] ", "> [!NOTE]\n", "[^1]", "[^1]: ", "|--|\n", ":rocket:", "&#x3c;", "&lt;",
    "-->", "\n\n", "\x00", "x",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=4), max_size=30).map("".join))
def test_no_mixture_of_pieces_does_anything(text: str) -> None:
    check_harmless(render_markdown(text, base_url_for_links="/a/b/", image_base="/a/b/").html)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[x](docs/a.md)", 'href="/ada/m/blob/main/docs/a.md"'),
        ("[x](./a.md#part)", 'href="/ada/m/blob/main/a.md#part"'),
        ("[x](/grace/other)", 'href="/grace/other"'),
        ("[x](https://e.org/?a=1&b=2)", 'href="https://e.org/?a=1&amp;b=2"'),
        ("[x](#usage)", 'href="#user-content-usage"'),
        ("![x](img/a.png)", 'src="/ada/m/resolve/main/img/a.png"'),
        ("![x](https://e.org/a.png)", 'src="https://e.org/a.png"'),
        ('<img src="a.png" width="20">', 'width="20"'),
        ('<picture><source srcset="d.png 2x"></picture>', 'srcset="/ada/m/resolve/main/d.png 2x"'),
        ("一行的末尾\n和下一行", "一行的末尾和下一行"),
        ("逗号，\nthen **Latin**", "逗号，then"),
        ("中文 and\nLatin", "中文 and\nLatin"),
        ("中文**粗体**\n[链接](/x)", "</strong><a"),
        ("한국어\n한국어", "한국어\n한국어"),
        ("see https://e.org now", '<a href="https://e.org"'),
        ("# Über 中文 Titel!", 'id="user-content-über-中文-titel"'),
        ("# A\n# A", 'id="user-content-a-1"'),
        ("~~old~~", "<s>old</s>"),
        (":rocket: :not_known:", "🚀 :not_known:"),
        ("`:rocket:`", ":rocket:"),
        ("| a |\n|--:|\n| 1 |", '<td class="ta-right">1</td>'),
        ("- [x] done", "checked"),
        ("> [!WARNING]\n> hot", "markdown-alert-warning"),
        ("```python\ndef f(): pass\n```", '<span class="k">def</span>'),
        ("```nolanguage\na < b\n```", "a &lt; b"),
        ("costs $5 and $6", "costs $5 and $6"),
        ("$a<b$", '<span class="math math-inline">a&lt;b</span>'),
        ("$$\nx^2\n$$", '<div class="math math-block">x^2</div>'),
        ("a[^1]\n\n[^1]: note", 'href="#user-content-fn1"'),
        ("<details><summary>more</summary>text</details>", "<details><summary>more</summary>"),
    ],
)
def test_what_markdown_becomes(text: str, expected: str) -> None:
    rendered = render_markdown(
        text, base_url_for_links="/ada/m/blob/main/", image_base="/ada/m/resolve/main/"
    )
    assert expected in rendered.html


def test_maths_is_announced_only_where_there_is_some() -> None:
    assert render_markdown("$x$").has_math
    assert render_markdown("```math\nx\n```").has_math
    assert not render_markdown("no maths, $5").has_math


def test_headings_make_a_table_of_contents() -> None:
    toc = render_markdown("# One\n\n## Two `code` :fire:\n").toc
    assert [(entry.level, entry.id, entry.text) for entry in toc] == [
        (1, "user-content-one", "One"),
        (2, "user-content-two-code-fire", "Two code 🔥"),
    ]
    assert render_markdown("# One", heading_ids=False).toc == ()


def test_long_text_is_cut_and_says_so() -> None:
    rendered = render_markdown("word " * (MAX_CHARS // 5 + 10))
    assert rendered.is_truncated
    assert len(rendered.html) <= MAX_CHARS + 20


@pytest.mark.parametrize(
    "piece",
    ["[", "![", "[^", "<div>", "<div></x>", "<b id=1>", "<p><b>", "> ", "`", "**a", "$a", "- ", "<a "],
)
def test_text_made_to_take_long_is_short_work(piece: str) -> None:
    """Each of these took tens of seconds before paragraphs and depth had limits."""
    started = time.process_time()
    check_harmless(render_markdown(piece * (MAX_CHARS // len(piece))).html)
    assert time.process_time() - started < 5


def test_a_huge_paragraph_stays_plain_and_the_rest_is_formatted() -> None:
    html = render_markdown("*a* " * (MAX_PARAGRAPH_CHARS // 4 + 1) + "\n\n*b*").html
    assert "*a*" in html
    assert "<em>b</em>" in html


def test_a_bottomless_tree_is_shown_as_written() -> None:
    assert render_markdown("<div>" * 501).html.startswith("<pre>&lt;div&gt;")
    assert render_markdown("<div>" * 400 + "<unk> " + "</div>" * 400).html.startswith("<div>")
