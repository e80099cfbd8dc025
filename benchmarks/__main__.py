"""`python -m benchmarks [NAME …] [--json FILE]`: run all benchmarks, those called NAME, or else
those whose name contains it."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import (
    contamination,
    content,
    discovery,
    evaluation,
    evaluation_boards,
    jobs,
    live,
    pages,
    records,
    serving,
    serving_gateway,
    serving_path,
    training,
    training_data,
    transfer,
    whole,
    xet,
)
from benchmarks.bench import Bench, bench_server
from benchmarks.report import Row, as_json, print_rows

Benchmark = Callable[[Bench], Iterator[Row]]

ALL: dict[str, Benchmark] = {
    "download": transfer.download,
    "lfs-put": transfer.lfs_put,
    "clone": transfer.clone,
    "head-resolve": discovery.head_resolve,
    "lists": discovery.lists,
    "search-posts": discovery.search_posts,
    "pages": pages.pages,
    "live": live.live,
    "job-start": jobs.start,
    "jobs-thousand": jobs.thousand,
    "tree": content.tree,
    "commit": content.commit,
    "xet-upload": xet.upload,
    "xet-change": xet.change,
    "xet-variants": xet.variants,
    "xet-download": xet.download,
    "xet-memory": xet.memory,
    "tokenise": training_data.tokenise,
    "train-speed": training.speed,
    "train-gpu": training.gpu,
    "learn-text": training.learning,
    "learn-others": training.learning_others,
    "learn-tuning": training.tuning,
    "eval-speed": evaluation.speed,
    "eval-exact": evaluation.exact,
    "contamination": contamination.contamination,
    "eval-verify": records.verify,
    "board": evaluation_boards.boards,
    "serve-speed": serving.speed,
    "serve-start": serving.start,
    "serve-gateway": serving_gateway.gateway,
    "serve-path": serving_path.path,
    "serve-cold": serving_path.cold,
    "idle": whole.idle,
    "make-up": whole.make_up,
}


def _means(word: str, name: str) -> bool:
    return word == name if word in ALL else word in name


def main() -> int:
    arguments = sys.argv[1:]
    target = None
    if "--json" in arguments:
        at = arguments.index("--json")
        target = Path(arguments[at + 1])
        del arguments[at : at + 2]
    chosen = [name for name in ALL if not arguments or any(_means(word, name) for word in arguments)]
    rows: list[Row] = []
    failed = 0
    for name in chosen:
        print(f"… {name}", file=sys.stderr, flush=True)
        with (
            tempfile.TemporaryDirectory(prefix="llmos-bench-") as folder,
            bench_server(Path(folder)) as bench,
        ):
            try:
                rows.extend(ALL[name](bench))
            except (RuntimeError, OSError, AssertionError):
                traceback.print_exc()
                failed += 1
    if rows:
        print_rows(rows)
    if target:
        target.write_text(as_json(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
