"""The recipe as JSON schema: for editors, and for the form of the hub's "new job" page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

import llmos.wire
from llmos.lab.recipes.schema import Recipe
from llmos.wire.jobs import RECIPE_SCHEMA_PATH

# Hubs that serve no schema of ours.
_OTHERS = frozenset({"huggingface.co", "hf-mirror.com"})
SCHEMA_PATH = Path(llmos.wire.__path__[0]) / "recipe_schema.json"


def schema_text() -> str:
    """What `wire/recipe_schema.json` must hold; each field carries the `reason` of its default."""
    schema = Recipe.model_json_schema(by_alias=True)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def schema_address() -> str:
    """Where an editor finds the schema: on the hub that HF_ENDPOINT names, else in this installation."""
    hub = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/")
    if hub and urlsplit(hub).hostname not in _OTHERS:
        return hub + RECIPE_SCHEMA_PATH
    return SCHEMA_PATH.as_uri()


def for_editors(text: str) -> str:
    """A recipe's YAML, with a first line that tells editors (yaml-language-server) of the schema."""
    return f"# yaml-language-server: $schema={schema_address()}\n{text}"


if __name__ == "__main__":
    SCHEMA_PATH.write_text(schema_text(), encoding="utf-8")
