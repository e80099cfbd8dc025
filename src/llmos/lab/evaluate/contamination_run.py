"""A contamination check as a job: from the recipe to the file that the benchmark keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from llmos.lab.evaluate.tasks.schema import TaskError
from llmos.wire.contamination_recipe import KEY, PARTS, is_contamination, result_path

if TYPE_CHECKING:
    from llmos.lab.evaluate.contamination import Contamination
    from llmos.lab.events import Reporter


def does_check(path: Path) -> bool:
    """Whether the recipe in a file is one of `llmos.wire.contamination_recipe`."""
    try:
        return is_contamination(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        # Whoever reads it next says what is wrong with it.
        return False


def run_check(path: Path, output: Path, reporter: Reporter) -> dict[str, Any]:
    """Look for the benchmark's items, and write what was found below `output`.

    Raises TaskError for a recipe that names no repository, and what the readers of both data sets raise.
    """
    from llmos.lab.evaluate.contamination import check
    from llmos.lab.evaluate.contamination_data import benchmark_rows, training_texts
    from llmos.records.digests import row_digest

    plan = yaml.safe_load(path.read_text(encoding="utf-8"))[KEY]
    benchmark, data = (_name_of(plan, part) for part in PARTS)
    reporter.phase("read")
    rows = benchmark_rows(benchmark, revision=plan["benchmark"].get("revision"))
    reporter.say(f"{benchmark}: {len(rows):,} items")
    reporter.phase("compare")
    found = check(rows, training_texts([data]))
    digests = {name: row_digest(row) for name, row in rows if name in found.flagged}
    content = content_of(benchmark, [data], found, digests)
    target = output / result_path(data)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    reporter.figure("items_found", len(found.flagged))
    reporter.say(f"{len(found.flagged):,} of {found.items:,} items found in {found.documents:,} documents.")
    return content


def content_of(
    benchmark: str, data: list[str], found: Contamination, digests: dict[str, str]
) -> dict[str, Any]:
    """What is kept of a check: what was compared, what was found, and the digests of those rows."""
    return {"benchmark": benchmark, "data": data, **found.to_json(), "rows": digests}


def _name_of(plan: dict[str, Any], part: str) -> str:
    value = plan.get(part)
    name = value.get("repo") if isinstance(value, dict) else None
    if not isinstance(name, str) or name.count("/") != 1:
        raise TaskError(f"{KEY}.{part}.repo: name a data set as ada/texts.")
    return name
