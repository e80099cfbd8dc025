"""`python -m llmos.records.parquet_child [samples] < FILE`: the rows of a Parquet file as JSON lines.

A process of its own, with limits on memory and time: a Parquet file of some kilobytes may ask for
gigabytes, and the reader is native code. The last line is `.`, or `!` and what is wrong.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, cast

from llmos.records.canonical import canonical, plain
from llmos.records.errors import RecordError

# Samples come from strangers; data is what the reader chose, and may be large.
SAMPLES_LIMITS = (1024**3, 300)
DATA_LIMITS = (4 * 1024**3, 3600)
BATCH_ROWS = 256
METADATA_BYTES = 64_000_000
_TYPES = {
    "id": "string", "row_sha256": "string", "prompt_sha256": "string", "prompt": "string",
    "choices": "list of string", "target": "string", "output": "string", "logprobs": "list of double",
    "chosen": "int32", "scores": "string", "fewshot_ids": "list of string", "truncated": "bool",
    "tokens": "int32", "leaf_sha256": "string",
}  # fmt: skip


def main() -> None:
    is_samples = "samples" in sys.argv[1:]
    limit(*(SAMPLES_LIMITS if is_samples else DATA_LIMITS))
    try:
        for row in _rows(is_samples=is_samples):
            sys.stdout.buffer.write(canonical(plain(row)) + b"\n")
        end = "."
    except (RecordError, OSError, ValueError, ArithmeticError, MemoryError, RecursionError) as error:
        # Arrow's own errors are among these.
        message = (
            "it needs more memory than a reader gives it" if isinstance(error, MemoryError) else str(error)
        )
        end = "!" + " ".join(message.split())[:500]
    sys.stdout.buffer.write(end.encode("utf-8", "replace") + b"\n")


def limit(memory_bytes: int, cpu_s: int) -> None:
    """Let this process write to no more memory than this, and compute no longer."""
    # What is written to; addresses alone cost nothing, and libraries take many.
    limits = ((resource.RLIMIT_DATA, memory_bytes), (resource.RLIMIT_CPU, cpu_s), (resource.RLIMIT_CORE, 0))
    for kind, most in limits:
        # Some systems know not all of them.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(kind, (most, most))


def _rows(*, is_samples: bool) -> Iterator[dict[str, Any]]:
    # Arrow does without NumPy, whose import takes longer than all the rest here.
    sys.modules["numpy"] = cast("ModuleType", None)
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with pq.ParquetFile(
        open(0, "rb", closefd=False),
        pre_buffer=False,
        thrift_string_size_limit=METADATA_BYTES,
        thrift_container_size_limit=1_000_000,
    ) as file:
        if is_samples:
            _check_columns(file.schema_arrow)
        for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
            if is_samples and any(column.null_count for column in batch.columns):
                raise RecordError("a value is missing")
            yield from batch.to_pylist()


def _check_columns(schema: Any) -> None:
    found = {field.name: _type_name(field.type) for field in schema}
    if len(schema) != len(found) or found != _TYPES:
        wrong = sorted(set(found.items()) ^ set(_TYPES.items()))
        names = ", ".join(dict.fromkeys(name for name, _ in wrong)) or "one is there twice"
        raise RecordError(f"its columns are not those of samples ({names})")


def _type_name(kind: Any) -> str:
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list of {_type_name(kind.value_type)}"
    return str(kind).removeprefix("large_")


if __name__ == "__main__":
    main()
