"""The card of a benchmark, in English and Chinese, with what guessing gets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml

from llmos.lab.evaluate.benchmarks.base import Benchmark, Row, Rows, Size, Splits


def baselines(task: dict[str, Any], rows: Rows) -> dict[str, float]:
    """Accuracy by chance and of always giving the commonest answer; empty where answers are open."""
    answers = [answer for row in rows if (answer := _answer(task, row)) is not None]
    if "chance" not in task or not answers or task["kind"] not in ("multiple_choice", "classification"):
        return {}
    commonest = Counter(answers).most_common(1)[0][1]
    return {"chance": float(task["chance"]), "majority": commonest / len(answers)}


def _answer(task: dict[str, Any], row: Row) -> Any:
    return row.get("label", row.get("answer"))


def card(benchmark: Benchmark, made: Splits, size: Size) -> str:
    """README.md: the front matter of a data set, then what it is, how made, its limits and its terms."""
    head = {
        "license": benchmark.licence if size == "small" or benchmark.name != "english-chinese" else "mpl-2.0",
        "language": list(benchmark.languages),
        "task_categories": [benchmark.category],
        "pretty_name": benchmark.title[0],
        "tags": ["benchmark", "llmos"],
        "size_categories": ["n<1K" if sum(map(len, made.values())) < 1000 else "1K<n<10K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}.jsonl"} for split in made],
            }
        ],
    }
    front = yaml.safe_dump(head, allow_unicode=True, sort_keys=False)
    return f"---\n{front}---\n\n{_part(benchmark, made, size, 0)}\n{_part(benchmark, made, size, 1)}"


_WORDS = (
    {
        "rows": "Rows",
        "task": "task",
        "metrics": "metrics",
        "chance": "chance",
        "majority": "commonest answer",
        "made": "How it was made",
        "limits": "Limits",
        "terms": "Licence",
        "small": "This is the small edition: intervals are wide. `python -m "
        "llmos.lab.evaluate.benchmarks.build "
        "{name} --to FOLDER` makes the full one.",
        "run": "Evaluate a model: `llmos eval run --model MODEL --benchmark {where}`",
        "again": "`python -m llmos.lab.evaluate.benchmarks.build {name}` makes it anew, to the byte.",
    },
    {
        "rows": "行数",
        "task": "任务",
        "metrics": "指标",
        "chance": "随机",
        "majority": "最常见答案",
        "made": "如何构建",
        "limits": "局限",
        "terms": "许可",
        "small": "这是小型版，区间较宽。`python -m llmos.lab.evaluate.benchmarks.build {name} --to "
        "FOLDER` 可构建完整版。",
        "run": "评测模型：`llmos eval run --model MODEL --benchmark {where}`",
        "again": "`python -m llmos.lab.evaluate.benchmarks.build {name}` 可逐字节重建。",
    },
)


def _part(benchmark: Benchmark, made: Splits, size: Size, which: int) -> str:
    where = f"llmos/{benchmark.name}" if size == "small" else "FOLDER"
    words = {key: text.format(name=benchmark.name, where=where) for key, text in _WORDS[which].items()}
    lines = [f"# {benchmark.title[which]}", "", benchmark.what[which], ""]
    lines += [
        f"| {words['task']} | {words['metrics']} | {words['chance']} | {words['majority']} |",
        "|---|---|---|---|",
    ]
    for task in benchmark.tasks:
        found = baselines(task, made[task["split"]])
        figures = [f"{found[key]:.3f}" if key in found else "–" for key in ("chance", "majority")]
        lines.append(f"| {task['id']} | {', '.join(task['metrics'])} | {' | '.join(figures)} |")
    counts = ", ".join(f"{split} {len(rows)}" for split, rows in made.items())
    lines += ["", f"{words['rows']}: {counts}", ""]
    if size == "small" and benchmark.small != benchmark.full:
        lines += [words["small"], ""]
    lines += [words["run"], "", f"## {words['made']}", "", benchmark.made[which], "", words["again"], ""]
    lines += [f"## {words['limits']}", "", benchmark.limits[which], ""]
    lines += [f"## {words['terms']}", "", benchmark.terms[which], ""]
    return "\n".join(lines)
