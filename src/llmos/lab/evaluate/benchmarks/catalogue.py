"""Which benchmarks come with LLMOS."""

from __future__ import annotations

from llmos.lab.evaluate.benchmarks import about_asked, about_labelled, about_language
from llmos.lab.evaluate.benchmarks.base import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    entry.name: entry for entry in (*about_language.ENTRIES, *about_labelled.ENTRIES, *about_asked.ENTRIES)
}
