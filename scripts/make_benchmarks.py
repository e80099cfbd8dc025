"""Rewrite src/llmos/lab/samples/benchmarks and the digests of both editions (fetches missing corpora)."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from llmos.lab.evaluate.benchmarks.base import Sources
from llmos.lab.evaluate.benchmarks.build import DIGESTS, build, data_digests
from llmos.lab.evaluate.benchmarks.catalogue import BENCHMARKS

OUT = Path(__file__).parents[1] / "src/llmos/lab/samples/benchmarks"


def main() -> None:
    sources = Sources()
    digests: dict[str, dict[str, dict[str, str]]] = {"small": {}, "full": {}}
    shutil.rmtree(OUT, ignore_errors=True)
    for name, benchmark in BENCHMARKS.items():
        if benchmark.small:
            build(name, OUT / name, size="small", sources=sources)
            digests["small"][name] = data_digests(OUT / name)
        with tempfile.TemporaryDirectory() as folder:
            build(name, Path(folder), size="full", sources=sources)
            digests["full"][name] = data_digests(Path(folder))
    DIGESTS.write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
