"""How to connect a client, and what crawlers should leave alone."""

from __future__ import annotations

from fastapi import Request
from fastapi.responses import Response

from llmos.features.repos.pages.snippets import Snippet


def connect_snippets(address: str) -> list[Snippet]:
    """How the usual clients reach this instance."""
    return [
        Snippet("Shell", f"pip install -U huggingface_hub\nexport HF_ENDPOINT={address}\nhf auth login"),
        Snippet(
            "Python",
            'import os\n\nos.environ["HF_ENDPOINT"] = "' + address + '"\n\n'
            'from transformers import pipeline\n\npipe = pipeline("text-generation", model="ada/tiny-llm")',
            "py",
        ),
        Snippet("Git", f"git lfs install\ngit clone {address}/ada/tiny-llm"),
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
