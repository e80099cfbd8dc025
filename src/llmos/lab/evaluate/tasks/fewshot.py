"""Which examples stand before a question."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from llmos.lab.evaluate.tasks.schema import FewshotRule, Task, TaskError

Named = tuple[str, dict[str, Any]]


class Examples:
    """Draws the examples of each question, in the order the questions are asked in.

    A question is never its own example. Raises TaskError where there are fewer rows than asked for.
    """

    def __init__(self, task: Task, seed: int, read: Callable[[str], list[Named]]) -> None:
        rule = task.fewshot
        self.rule, self.count = rule, rule.count
        self.seed = seed if rule.seed is None else rule.seed
        self._random = random.Random(self.seed)
        self._is_own_split = rule.rows is None and (rule.split or task.split) == task.split
        self._pool: list[Named] = []
        if self.count:
            self._pool = _pool(task, rule, read)
        if self.count > len(self._pool):
            raise TaskError(
                f"fewshot.count: {self.count} examples are wanted and there are {len(self._pool)} rows to "
                "draw from. Ask for fewer, or name another split in fewshot.split."
            )
        # One more than needed, for the question that is among them.
        some = min(self.count + 1, len(self._pool))
        self._fixed = self._random.sample(self._pool, some) if rule.sampler == "fixed" else self._pool

    def of(self, name: str, row: dict[str, Any]) -> Sequence[Named]:
        """The examples before the question `name`."""
        if not self.count:
            return ()
        if self.rule.sampler == "first" and not self._is_own_split:
            return self._fixed[: self.count]
        if self.rule.sampler != "drawn":
            return _others(self._fixed, name, row)[: self.count]
        if not self._is_own_split:
            return self._random.sample(self._pool, self.count)
        drawn = _others(self._random.sample(self._pool, min(self.count + 1, len(self._pool))), name, row)
        if len(drawn) < self.count:
            others = _others(self._pool, name, row)
            if len(others) < self.count:
                raise TaskError(
                    f"fewshot.count: there are not {self.count} rows besides the question {name}."
                )
            drawn = self._random.sample(others, self.count)
        return drawn[: self.count]


def _pool(task: Task, rule: FewshotRule, read: Callable[[str], list[Named]]) -> list[Named]:
    if rule.rows is not None:
        return [(f"task/{number}", row) for number, row in enumerate(rule.rows)]
    rows = read(rule.split or task.split)
    if rule.indices is None:
        return rows
    if any(not 0 <= index < len(rows) for index in rule.indices):
        raise TaskError(f"fewshot.indices: the split has {len(rows)} rows, numbered from 0.")
    return [rows[index] for index in rule.indices]


def _others(rows: Sequence[Named], name: str, row: dict[str, Any]) -> list[Named]:
    return [(other, example) for other, example in rows if other != name and example != row]
