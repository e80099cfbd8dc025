"""The recipe as JSON schema: for editors, and for the form of the hub's "new job" page."""

from __future__ import annotations

import json
from pathlib import Path

import llmos.wire
from llmos.lab.recipes.schema import Recipe

SCHEMA_PATH = Path(llmos.wire.__path__[0]) / "recipe_schema.json"


def schema_text() -> str:
    """What `wire/recipe_schema.json` must hold; each field carries the `reason` of its default."""
    schema = Recipe.model_json_schema(by_alias=True)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_PATH.write_text(schema_text(), encoding="utf-8")
