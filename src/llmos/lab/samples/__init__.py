"""Small real texts for a first run and for the quick tests; whence and under which licence: LICENSES.md."""

from __future__ import annotations

from pathlib import Path

import llmos.wire
from llmos.core.errors import NotFound

FOLDER = Path(__file__).parent
# Recipes name a sample so: `files: [sample:english.txt]`.
PREFIX = "sample:"
# Recipes that come with LLMOS; they lie where the hub reads them, too.
RECIPES = {"quickstart": Path(llmos.wire.__path__[0]) / "quickstart.yaml"}
# Name: the licence a model card has to inherit from it.
LICENCES: dict[str, str] = {
    "english.txt": "cc0-1.0",
    "chinese.txt": "cc0-1.0",
    "centuries.jsonl": "cc0-1.0",
    "tags.jsonl": "cc0-1.0",
    "chat.jsonl": "cc0-1.0",
    "headings.jsonl": "cc0-1.0",
    "preferences.jsonl": "cc0-1.0",
    "questions.jsonl": "cc0-1.0",
    "pairs.jsonl": "apache-2.0",
}


def sample(name: str) -> Path:
    """The file of a sample; raises NotFound, naming those there are."""
    if name not in LICENCES:
        raise NotFound(f"No sample is called {name}; there are: {', '.join(LICENCES)}.")
    return FOLDER / name
