"""A small world to look at: `python -m kit.seed http://127.0.0.1:8642 ada=hf_… grace=hf_…`.

Everything goes in through the public API with the official client, as people would do it.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

MODEL_CARD = """---
license: apache-2.0
language: [en, zh]
library_name: transformers
pipeline_tag: text-generation
tags: [tiny, teaching, from-scratch]
datasets: [grace/news-zh]
metrics: [perplexity]
model-index:
  - name: tiny-llm
    results:
      - task: {type: text-generation}
        dataset: {name: News headlines, type: grace/news-zh}
        metrics:
          - {type: perplexity, value: 18.4}
          - {type: accuracy, name: Next word, value: 0.412}
---
# Tiny LLM

A **10 M parameter** language model that fits on a laptop and into a lesson: every line of its
training code is meant to be read. It speaks English and a fair amount of Chinese.

> [!NOTE]
> Made for learning. It forgets facts and invents others; do not rely on what it says.

## How to use it

```python
from transformers import pipeline

writer = pipeline("text-generation", model="ada/tiny-llm")
print(writer("Once upon a time,", max_new_tokens=40)[0]["generated_text"])
```

## Training

| stage | data | tokens | perplexity |
|:--|:--|--:|--:|
| pre-training | web text, books | 2.4 B | 21.7 |
| continued | [news-zh](../../datasets/grace/news-zh) | 0.8 B | 18.4 |
| instruction tuning | dialogues | 40 M | – |

The loss is the mean negative log-likelihood of the next token,

$$\\mathcal{L}(\\theta) = -\\frac{1}{T}\\sum_{t=1}^{T} \\log p_\\theta(x_t \\mid x_{<t})$$

with a context of $T = 1024$ tokens. Attention is causal: each token sees itself and what came before.

## What is still to do

- [x] Pre-training in English
- [x] Chinese headlines
- [ ] Longer context
"""

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_attention_heads": 8,
    "num_hidden_layers": 8,
    "vocab_size": 16384,
    "max_position_embeddings": 1024,
    "torch_dtype": "bfloat16",
}

TRAIN = '''"""Train tiny-llm from scratch: read it top to bottom."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def causal_mask(length: int) -> Tensor:
    """Each token sees itself and what came before it."""
    mask = torch.ones(length, length).tril()  # a lower triangle
    return mask.masked_fill(mask == 0, float("-inf"))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.project(x).chunk(3, dim=-1)
        scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
        return self.out((scores + causal_mask(length)).softmax(-1) @ v)
'''

DATASET_CARD = """---
license: cc-by-4.0
language: [zh]
pretty_name: 中文新闻标题
task_categories: [text-classification, summarization]
size_categories: [1K<n<10K]
tags: [news]
configs:
  - config_name: default
    data_files: data/train.parquet
---
# 中文新闻标题

六千条中文新闻标题，由编辑按主题人工标注，可用于文本分类与摘要模型的训练和评测。

## 字段

| 字段 | 类型 | 说明 |
|:--|:--|:--|
| `title` | string | 新闻标题 |
| `topic` | string | 主题：科技、财经、体育、文化 |
| `length` | int32 | 标题字数 |

## 使用方法

```python
from datasets import load_dataset

dataset = load_dataset("grace/news-zh")
```

每条标题 $x$ 只属于一个主题 $y$；主题分布大致均匀。
"""

HEADLINES = [
    ("我国科学家发布新一代开源大语言模型", "科技"),
    ("芯片产业迎来新一轮投资热潮", "财经"),
    ("女排姑娘逆转夺冠，时隔八年再登顶", "体育"),
    ("古籍数字化工程完成百万卷扫描", "文化"),
    ("自动驾驶出租车在三座城市试运行", "科技"),
    ("央行下调存款准备金率零点五个百分点", "财经"),
    ("马拉松赛道首次穿越老城区", "体育"),
    ("博物馆夜场门票两分钟售罄", "文化"),
]

SPACE_CARD = """---
title: Attention, drawn
emoji: 🔺
colorFrom: green
colorTo: blue
sdk: static
license: mit
pinned: true
---
# Attention, drawn

Move over a word and see which earlier words a small model looks at.
"""

TOOL_CARD = """---
license: bsd-3-clause
tags: [kernel, triton, attention]
---
# Fast attention

A fused causal attention kernel in Triton, with a plain PyTorch version beside it that says the same.

| length | plain | fused |
|--:|--:|--:|
| 1,024 | 1.9 ms | 0.6 ms |
| 8,192 | 118 ms | 21 ms |
"""


def weights(width: int = 256, layers: int = 8) -> bytes:
    """A small but complete set of weights in safetensors form, written by hand."""
    vocabulary, inner = 16384, width * 43 // 16
    shapes: dict[str, list[int]] = {"model.embed_tokens.weight": [vocabulary, width]}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[f"{prefix}self_attn.{name}.weight"] = [width, width]
        shapes[f"{prefix}mlp.gate_proj.weight"] = [inner, width]
        shapes[f"{prefix}mlp.up_proj.weight"] = [inner, width]
        shapes[f"{prefix}mlp.down_proj.weight"] = [width, inner]
        shapes[f"{prefix}input_layernorm.weight"] = [width]
    shapes["model.norm.weight"] = [width]
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "trained_on": "news-zh"}}
    position = 0
    for name, shape in shapes.items():
        size = 2
        for length in shape:
            size *= length
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header).encode()
    return (
        len(text).to_bytes(8, "little")
        + text
        + (bytes(i * 37 % 251 for i in range(251)) * (position // 251 + 1))[:position]
    )


def parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = HEADLINES * 750
    table = pa.table(
        {
            "title": [title for title, _ in rows],
            "topic": [topic for _, topic in rows],
            "length": pa.array([len(title) for title, _ in rows], pa.int32()),
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def seed(endpoint: str, tokens: dict[str, str]) -> None:
    """Fill an instance that has ada, grace and the organisation lab."""
    from huggingface_hub import CommitOperationAdd, HfApi, get_session

    ada, grace = (HfApi(endpoint=endpoint, token=tokens[name]) for name in ("ada", "grace"))

    def put(api: Any, repo_id: str, kind: str, files: dict[str, bytes | str], message: str) -> None:
        operations = [
            CommitOperationAdd(path, text.encode() if isinstance(text, str) else text)
            for path, text in files.items()
        ]
        api.create_commit(repo_id, operations, commit_message=message, repo_type=kind)

    grace.create_repo("grace/news-zh", repo_type="dataset", exist_ok=True)
    csv = "title,topic,length\n" + "".join(f"{title},{topic},{len(title)}\n" for title, topic in HEADLINES)
    lines = "".join(
        json.dumps({"title": title, "topic": topic}, ensure_ascii=False) + "\n" for title, topic in HEADLINES
    )
    put(
        grace, "grace/news-zh", "dataset", {"README.md": DATASET_CARD, "sample.csv": csv}, "Describe the data"
    )
    put(
        grace, "grace/news-zh", "dataset", {"data/train.parquet": parquet(), "data/sample.jsonl": lines}, "Add the headlines"
    )  # fmt: skip

    ada.create_repo("ada/tiny-llm", exist_ok=True)
    put(ada, "ada/tiny-llm", "model", {"README.md": "# Tiny LLM\n\nComing soon.\n"}, "First words")
    put(
        ada, "ada/tiny-llm", "model",
        {"config.json": json.dumps(CONFIG, indent=2) + "\n", "model.safetensors": weights()}, "Add the first checkpoint",
    )  # fmt: skip
    put(
        ada,
        "ada/tiny-llm",
        "model",
        {"training/train.py": TRAIN, "training/recipe.yaml": "layers: 4\nheads: 4\nwidth: 64\n"},
        "Show how it was trained",
    )
    put(
        ada,
        "ada/tiny-llm",
        "model",
        {"README.md": MODEL_CARD, "training/recipe.yaml": "layers: 4\nheads: 4\nwidth: 64\nsteps: 12000\n"},
        "Write the card",
    )
    ada.create_tag("ada/tiny-llm", tag="v1.0", tag_message="First release")
    ada.create_branch("ada/tiny-llm", branch="longer-context")

    small = {"config.json": json.dumps(CONFIG, indent=2), "model.safetensors": weights(64, 4)}
    cards = [
        (
            ada,
            "ada/tiny-llm-chat",
            "text-generation",
            "ada/tiny-llm",
            "A tiny model that answers politely, tuned on forty thousand dialogues.",
        ),
        (grace, "grace/tiny-summary-zh", "summarization", "ada/tiny-llm", "把一篇新闻压缩成一句话的小模型。"),
        (
            ada,
            "lab/tiny-embed",
            "sentence-similarity",
            "",
            "Sentence vectors of 64 numbers, for search on small machines.",
        ),
    ]
    for api, name, task, base, text in cards:
        api.create_repo(name, exist_ok=True)
        head = f"---\nlicense: mit\nlanguage: [en, zh]\npipeline_tag: {task}\n" + (
            f"base_model: {base}\n" if base else ""
        )
        put(api, name, "model", {"README.md": f"{head}---\n# {name}\n\n{text}\n", **small}, "Publish")

    grace.create_repo("grace/dialogues", repo_type="dataset", exist_ok=True)
    card = "---\nlicense: cc-by-sa-4.0\nlanguage: [en, zh]\ntask_categories: [text-generation]\nsize_categories: [10K<n<100K]\nextra_gated_fields:\n  Organisation: text\n  I will not publish names: checkbox\n---\n# Dialogues\n\nForty thousand polite conversations, names removed.\n"
    put(grace, "grace/dialogues", "dataset", {"README.md": card, "data/train.jsonl": lines}, "Publish")
    grace.update_repo_settings("grace/dialogues", repo_type="dataset", gated="manual")

    ada.create_repo("lab/attention-drawn", repo_type="space", space_sdk="static", exist_ok=True)
    page = "<!doctype html><title>Attention</title><h1>Attention, drawn</h1>\n"
    put(ada, "lab/attention-drawn", "space", {"README.md": SPACE_CARD, "index.html": page}, "Publish")
    ada.create_repo("lab/fast-attention", repo_type="kernel", exist_ok=True)
    put(ada, "lab/fast-attention", "kernel", {"README.md": TOOL_CARD, "attention.py": TRAIN}, "Publish")
    ada.create_repo("ada/notebook", private=True, exist_ok=True)
    for token in tokens.values():
        for repo in ("models/ada/tiny-llm", "datasets/grace/news-zh", "spaces/lab/attention-drawn"):
            get_session().post(
                f"{endpoint}/api/{repo}/like", headers={"authorization": f"Bearer {token}"}
            ).raise_for_status()
    for _ in range(7):
        get_session().get(f"{endpoint}/ada/tiny-llm/resolve/main/config.json").raise_for_status()


def main() -> None:
    endpoint, *pairs = sys.argv[1:]
    seed(endpoint, dict(pair.split("=", 1) for pair in pairs))


if __name__ == "__main__":
    main()
