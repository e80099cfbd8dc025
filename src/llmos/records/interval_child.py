"""`python -m llmos.records.interval_child < REQUEST`: intervals of metrics, with limits on memory and time.

The request is JSON: `seed`, `scores` (of each sample) and `metrics` ([name, signature]); the answer a list
of [low, high], or of why one could not be drawn; a text instead where none could.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from llmos.records.aggregates import formula_of
from llmos.records.parquet_child import limit
from llmos.records.resample import interval

LIMITS = (2 * 1024**3, 60)


def main() -> None:
    limit(*LIMITS)
    json.dump(answer(json.load(sys.stdin)), sys.stdout)


def answer(request: dict[str, Any]) -> list[tuple[float | None, float | None] | str] | str:
    """What the request asks for, as described above."""
    try:
        import numpy  # noqa: F401
    except ImportError:
        return "drawing them needs numpy, which is not installed here"
    return [_interval(name, signature, request) for name, signature in request["metrics"]]


def _interval(name: str, signature: str, request: dict[str, Any]) -> tuple[float | None, float | None] | str:
    try:
        return interval(name, formula_of(signature), request["scores"], seed=request["seed"])
    except KeyError as error:
        return f"its formula is not known here ({error})"
    except (ValueError, ArithmeticError) as error:
        return f"it cannot be drawn: {error}"
    except MemoryError:
        return "drawing it asks for more memory than is given"


if __name__ == "__main__":
    main()
