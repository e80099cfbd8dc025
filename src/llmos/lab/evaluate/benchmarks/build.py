"""`python -m llmos.lab.evaluate.benchmarks.build [NAME…] --to FOLDER`: benchmarks as folders of a data set.

A folder holds README.md, eval.yaml and data/SPLIT.jsonl. The same sources give the same bytes on every
machine; `digests.json` says which.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from llmos.core.errors import Conflict, NotFound
from llmos.lab.evaluate.benchmarks.base import Benchmark, Size, Sources
from llmos.lab.evaluate.benchmarks.cards import card
from llmos.lab.evaluate.benchmarks.catalogue import BENCHMARKS

DIGESTS = Path(__file__).with_name("digests.json")


def build(name: str, folder: Path, *, size: Size = "full", sources: Sources | None = None) -> Path:
    """Write the benchmark `name` to `folder`, which is made; returns it.

    Raises NotFound for an unknown name or one without a small edition, FetchError when a package cannot
    be had, Conflict when the data is not what `digests.json` says (other versions of the packages).
    """
    benchmark = access_benchmark(name)
    counts = benchmark.small if size == "small" else benchmark.full
    if counts is None:
        raise NotFound(f"{name} has no small edition; build the full one.")
    made = benchmark.make(sources or Sources(), counts, size)
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for split, rows in made.items():
        lines = (json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
        (data / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "eval.yaml").write_text(eval_yaml(benchmark), encoding="utf-8")
    (folder / "README.md").write_text(card(benchmark, made, size), encoding="utf-8")
    return folder


def build_checked(name: str, folder: Path, *, size: Size = "full") -> Path:
    """`build` from the corpora, held against the digests that LLMOS was published with."""
    build(name, folder, size=size)
    wanted = json.loads(DIGESTS.read_text(encoding="utf-8")).get(size, {}).get(name)
    found = data_digests(folder)
    if wanted != found:
        other = sorted(path for path in found if not wanted or wanted.get(path) != found[path])
        raise Conflict(f"{name}: {', '.join(other) or 'a file'} is not what digests.json says.")
    return folder


def access_benchmark(name: str) -> Benchmark:
    if name not in BENCHMARKS:
        raise NotFound(f"No benchmark is called {name}; there are: {', '.join(BENCHMARKS)}.")
    return BENCHMARKS[name]


def eval_yaml(benchmark: Benchmark) -> str:
    content: dict[str, Any] = {
        "name": benchmark.title[0],
        "description": benchmark.what[0],
        "evaluation_framework": "llmos",
        "tasks": [dict(task) for task in benchmark.tasks],
    }
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=100)


def data_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of data."""
    paths = sorted((folder / "data").glob("*.jsonl"))
    return {f"data/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"which; all if none is named: {', '.join(BENCHMARKS)}")
    parser.add_argument("--to", type=Path, required=True, help="where the folders go")
    parser.add_argument("--size", choices=["small", "full"], default="full")
    chosen = parser.parse_args(list(arguments) if arguments is not None else None)
    for name in chosen.name or BENCHMARKS:
        if chosen.size == "full" or access_benchmark(name).small:
            print(build_checked(name, chosen.to / name, size=chosen.size), file=sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
