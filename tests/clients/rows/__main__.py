"""Print, as JSON, what came of every row, and the methods of `HfApi` that none of them uses."""

from __future__ import annotations

import importlib
import json
import tempfile
from pathlib import Path

import huggingface_hub

from clients.rows import ROWS, World, outcome, watch_calls, watch_requests
from clients.rows.parts import PARTS

for part in PARTS:
    importlib.import_module(part)
world = World(Path(tempfile.mkdtemp()))
watch_requests(world.sent)
methods = watch_calls(world.called)
found = {name: outcome(row, world) for name, row in ROWS.items()}
unused = sorted(set(methods) - world.called)
print(json.dumps({"version": huggingface_hub.__version__, "rows": found, "unused": unused}))
