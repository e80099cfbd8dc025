"""Write what knows next to nothing about text as models with results, for boards to compare with.

`src/llmos/lab/samples/demo/models/baseline-*`: all bytes alike, bytes as frequent as in the samples, and
bytes after the two before them. None has weights; each card says how its figures come about.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from llmos.lab.metrics.trigram import ByteTrigram
from llmos.lab.samples import sample

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "src/llmos/lab/samples"
OUT = SAMPLES / "demo/models"
BENCHMARKS = {"english-text": "bits_per_byte", "chinese-text": "bits_per_character"}
LEARNT = [sample(name).read_text(encoding="utf-8") for name in ("english.txt", "chinese.txt")]

Bits = Callable[[str], float]


def unigram() -> Bits:
    counts = Counter(byte for text in LEARNT for byte in text.encode())
    total = sum(counts.values()) + 256
    return lambda text: -sum(math.log2((counts[byte] + 1) / total) for byte in text.encode())


KINDS: dict[str, tuple[Bits, str, str]] = {
    "uniform": (
        lambda text: 8.0 * len(text.encode()),
        "Every byte is as likely as every other. Who does not beat this has learnt nothing.",
        "每个字节的概率都相同。赢不过它，就等于什么都没学到。",
    ),
    "unigram": (
        unigram(),
        "Knows how frequent each byte is in the two sample texts, and nothing of their order.",
        "只知道每个字节在两份示例文本中出现的频率，不知道任何顺序。",
    ),
    "trigram": (
        ByteTrigram(LEARNT).bits,
        "Guesses each byte from the two before it, smoothed by the method of Witten and Bell; "
        "counts from the two sample texts.",
        "根据前两个字节猜下一个字节，计数来自两份示例文本，用 Witten–Bell 方法平滑。",
    ),
}


def texts(benchmark: str) -> list[str]:
    path = SAMPLES / "benchmarks" / benchmark / "data/test.jsonl"
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


def card(name: str, english: str, chinese: str, figures: dict[str, float]) -> str:
    rows = "\n".join(
        f"| [{key}](/datasets/llmos/{key}/leaderboard) | {BENCHMARKS[key].replace('_', ' ')} | {value:.3f} |"
        for key, value in figures.items()
    )
    return (
        "---\nlicense: apache-2.0\nlanguage:\n- en\n- zh\ntags:\n- baseline\n---\n\n"
        f"# Byte {name}: a baseline\n\n{english}\n\n{chinese}\n\n"
        "There are no weights here: this page holds a place on leaderboards, so that a first model sees "
        "whether it is better than no model.\n\n"
        f"| benchmark | metric | value |\n|---|---|---:|\n{rows}\n\n"
        "Bits are summed over the test split and divided by its bytes, or characters; nobody has signed "
        "these figures. They come from `scripts/make_baselines.py` of LLMOS, which anybody can run.\n"
    )


def main() -> None:
    for name, (bits, english, chinese) in KINDS.items():
        folder = OUT / f"baseline-{name}"
        (folder / ".eval_results").mkdir(parents=True, exist_ok=True)
        figures = {}
        for key, metric in BENCHMARKS.items():
            found = texts(key)
            size = sum(len(text.encode()) if metric == "bits_per_byte" else len(text) for text in found)
            figures[key] = sum(bits(text) for text in found) / size
            entry = {
                "dataset": {"id": f"llmos/{key}", "task_id": "text"},
                "value": round(figures[key], 6),
                "notes": f"{metric}, n = {len(found)}; computed by scripts/make_baselines.py",
            }
            path = folder / ".eval_results" / f"llmos--{key}--text.yaml"
            path.write_text(json.dumps([entry], indent=1) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(card(name, english, chinese, figures), encoding="utf-8")
        print(name, figures)


if __name__ == "__main__":
    main()
