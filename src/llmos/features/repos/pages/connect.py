"""How to connect a client, and what crawlers should leave alone."""

from __future__ import annotations

import json
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response
from markupsafe import Markup, escape

from llmos.features.repos.pages.snippets import Snippet
from llmos.infra.kept import kept
from llmos.ui.highlight import HighlightedCode

# Stands for the address of the instance while a snippet is coloured.
_SOMEWHERE = "http://hub.example"


@dataclass(frozen=True)
class KeptSnippet(Snippet):
    """A snippet that is coloured once for all starts, so that the first page waits for no lexer.

    `address` is what differs between instances in its `code`.
    """

    address: str = ""

    @property
    def highlighted(self) -> HighlightedCode:
        plain = Snippet(self.name, self.code.replace(self.address, _SOMEWHERE), self.language)
        name = f"connect-{self.name.lower()}.json"
        lines = json.loads(kept(name, plain.code.encode(), lambda: _coloured(plain)))
        own = escape(self.address)
        return HighlightedCode([Markup(line.replace(_SOMEWHERE, own)) for line in lines], None, False)


def _coloured(snippet: Snippet) -> bytes:
    return json.dumps(snippet.highlighted.lines).encode()


def connect_snippets(address: str) -> list[KeptSnippet]:
    """How the usual clients reach this instance."""
    shell = f"pip install -U huggingface_hub\nexport HF_ENDPOINT={address}\nhf auth login"
    python = (
        'import os\n\nos.environ["HF_ENDPOINT"] = "' + address + '"\n\n'
        'from transformers import pipeline\n\npipe = pipeline("text-generation", model="ada/tiny-llm")'
    )
    return [
        KeptSnippet("Shell", shell, address=address),
        KeptSnippet("Python", python, "py", address),
        KeptSnippet("Git", f"git lfs install\ngit clone {address}/ada/tiny-llm", address=address),
    ]


def robots(_request: Request) -> Response:
    """Crawlers read cards, not the endless combinations of filters and revisions."""
    lines = [
        "User-agent: *",
        "Disallow: /api/",
        "Disallow: /search",
        "Disallow: /*?",
        "Disallow: /*/commits/",
    ]
    lines += ["Disallow: /*/blame/", "Disallow: /*/compare/", "Disallow: /*/resolve/", "Disallow: /*/raw/"]
    return Response("\n".join(lines) + "\n", media_type="text/plain")
