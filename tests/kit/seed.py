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


def weights(width: int = 256, layers: int = 8, norm: str = "BF16") -> bytes:
    """A small but complete set of weights in safetensors form, written by hand.

    `norm` is the type of the last tensor, BF16 or F32.
    """
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
        dtype = norm if name == "model.norm.weight" else "BF16"
        size = 4 if dtype == "F32" else 2
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [position, position + size]}
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


DIALOGUES_CARD = """---
license: cc-by-sa-4.0
language: [en, zh]
task_categories: [text-generation]
size_categories: [10K<n<100K]
extra_gated_fields:
  Organisation: text
  I will not publish names: checkbox
---
# Dialogues

Forty thousand polite conversations, names removed.
"""

# name, task, base model, one sentence
SMALL_MODELS = [
    ("ada/tiny-llm-chat", "text-generation", "ada/tiny-llm", "A tiny model that answers politely."),
    ("grace/tiny-summary-zh", "summarization", "ada/tiny-llm", "把一篇新闻压缩成一句话的小模型。"),
    ("lab/tiny-embed", "sentence-similarity", "", "Sentence vectors of 64 numbers, for small machines."),
]
RECIPE = "layers: 8\nheads: 8\nwidth: 256\n"


class World:
    """Writes as whoever owns a repository; ada also writes for `lab`."""

    def __init__(self, endpoint: str, tokens: dict[str, str]) -> None:
        from huggingface_hub import HfApi

        self.endpoint = endpoint
        self.apis = {name: HfApi(endpoint=endpoint, token=tokens[name]) for name in ("ada", "grace")}

    def api(self, repo_id: str) -> Any:
        return self.apis["grace" if repo_id.startswith("grace/") else "ada"]

    def create(self, repo_id: str, kind: str = "model", **options: Any) -> None:
        self.api(repo_id).create_repo(repo_id, repo_type=kind, exist_ok=True, **options)

    def put(self, repo_id: str, kind: str, message: str, files: dict[str, bytes | str]) -> None:
        from huggingface_hub import CommitOperationAdd

        operations = [
            CommitOperationAdd(path, data.encode() if isinstance(data, str) else data)
            for path, data in files.items()
        ]
        self.api(repo_id).create_commit(repo_id, operations, commit_message=message, repo_type=kind)


def seed(endpoint: str, tokens: dict[str, str]) -> None:
    """Fill an instance that has ada, grace and the organisation lab."""
    world = World(endpoint, tokens)
    seed_datasets(world)
    seed_models(world)
    world.create("lab/attention-drawn", "space", space_sdk="static")
    page = "<!doctype html><title>Attention</title><h1>Attention, drawn</h1>\n"
    world.put("lab/attention-drawn", "space", "Publish", {"README.md": SPACE_CARD, "index.html": page})
    world.create("lab/fast-attention", "kernel")
    world.put("lab/fast-attention", "kernel", "Publish", {"README.md": TOOL_CARD, "attention.py": TRAIN})
    seed_likes(endpoint, tokens)


def seed_datasets(world: World) -> None:
    csv = "title,topic,length\n" + "".join(f"{title},{topic},{len(title)}\n" for title, topic in HEADLINES)
    records = [{"title": title, "topic": topic} for title, topic in HEADLINES]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    world.create("grace/news-zh", "dataset")
    world.put("grace/news-zh", "dataset", "Describe the data", {"README.md": DATASET_CARD, "sample.csv": csv})
    tables = {"data/train.parquet": parquet(), "data/sample.jsonl": lines}
    world.put("grace/news-zh", "dataset", "Add the headlines", tables)
    world.create("grace/dialogues", "dataset")
    world.put(
        "grace/dialogues", "dataset", "Publish", {"README.md": DIALOGUES_CARD, "data/train.jsonl": lines}
    )
    world.api("grace/dialogues").update_repo_settings("grace/dialogues", repo_type="dataset", gated="manual")


def seed_models(world: World) -> None:
    name, config = "ada/tiny-llm", json.dumps(CONFIG, indent=2) + "\n"
    world.create(name)
    first = "---\nlicense: apache-2.0\n---\n# Tiny LLM\n\nComing soon.\n"
    world.put(name, "model", "First words", {"README.md": first})
    files: dict[str, bytes | str] = {"config.json": config, "model.safetensors": weights()}
    world.put(name, "model", "Add the first checkpoint", files)
    world.api(name).create_tag(name, tag="v1.0", tag_message="First release")
    world.api(name).create_branch(name, branch="longer-context")
    training = {"training/train.py": TRAIN, "training/recipe.yaml": RECIPE}
    world.put(name, "model", "Show how it was trained", training)
    card = {"README.md": MODEL_CARD, "training/recipe.yaml": RECIPE + "steps: 12000\n"}
    world.put(name, "model", "Write the card", card)
    small: dict[str, bytes | str] = {"config.json": config, "model.safetensors": weights(64, 4)}
    for other, task, base, text in SMALL_MODELS:
        world.create(other)
        head = f"---\nlicense: mit\nlanguage: [en, zh]\npipeline_tag: {task}\n"
        head += f"base_model: {base}\n" if base else ""
        world.put(other, "model", "Publish", {"README.md": f"{head}---\n# {other}\n\n{text}\n", **small})
    world.create("ada/notebook", private=True)


def seed_likes(endpoint: str, tokens: dict[str, str]) -> None:
    from huggingface_hub import get_session

    session = get_session()
    for token in tokens.values():
        for repo in ("models/ada/tiny-llm", "datasets/grace/news-zh", "spaces/lab/attention-drawn"):
            headers = {"authorization": f"Bearer {token}"}
            session.post(f"{endpoint}/api/{repo}/like", headers=headers).raise_for_status()
    for _ in range(7):
        session.get(f"{endpoint}/ada/tiny-llm/resolve/main/config.json").raise_for_status()


def main() -> None:
    endpoint, *pairs = sys.argv[1:]
    seed(endpoint, dict(pair.split("=", 1) for pair in pairs))


if __name__ == "__main__":
    main()
