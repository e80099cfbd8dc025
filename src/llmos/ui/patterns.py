"""`/-/patterns`: every component with sample data. Pages are built from what is shown there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from markupsafe import Markup

from llmos.core.clock import now
from llmos.ui.charts import ScatterPoint
from llmos.ui.highlight import highlight_file
from llmos.ui.markdown import References, render_markdown
from llmos.ui.notebook import render_notebook
from llmos.ui.render import Flash, PageContext, icon_names, render
from llmos.ui.views import (
    Badge,
    Column,
    CommentView,
    Crumb,
    DiffFile,
    DiffHunk,
    DiffLine,
    FacetGroup,
    FacetOption,
    Fact,
    FileRow,
    Option,
    Person,
    Poll,
    PollOption,
    Reaction,
    RepoCard,
    Series,
    Tab,
    Tag,
)

_CODE = '''\
def causal_mask(length: int) -> Tensor:
    """Each token sees itself and what came before it."""
    mask = torch.ones(length, length).tril()  # lower triangle
    return mask.masked_fill(mask == 0, float("-inf"))
'''

_NOTEBOOK = """{"nbformat": 4, "cells": [
  {"cell_type": "markdown", "source": "### Loss after one epoch"},
  {"cell_type": "code", "execution_count": 7, "source": "losses = [4.1, 2.9, 2.4]\\nprint(min(losses))",
   "outputs": [{"output_type": "stream", "text": "2.4\\n"}]}]}"""

_MARKDOWN = r"""
# Tiny LLM

A **small** model with a _long_ memory; see the [training notes](docs/training.md).

## Usage

```python
from transformers import AutoModel
model = AutoModel.from_pretrained("ada/tiny-llm")
```

> [!TIP]
> Fits into 2 GB of memory.

| data set | tokens | perplexity |
|:--|--:|--:|
| wiki-en | 1.2 B | 18.4 |
| 新闻语料 | 0.8 B | 21.0 |

- [x] Pre-training
- [ ] Instruction tuning[^1]

Attention is $\mathrm{softmax}(QK^\top / \sqrt{d})V$, trained on

$$\mathcal{L} = -\sum_{t} \log p(x_t \mid x_{<t})$$

```mermaid
flowchart LR
  tokens --> blocks --> logits
```

[^1]: After the data has been reviewed.
"""


def patterns_page(page: PageContext) -> str:
    """The page as HTML, with a sample flash message when the request brought none."""
    return render("patterns.html", patterns_context(), page)


def patterns_context() -> dict[str, Any]:
    return {
        "tabs": _tabs(),
        "crumbs": [Crumb("tiny-llm", "#"), Crumb("configs", "#"), Crumb("train.yaml")],
        "repos": _repos(),
        "facets": _facets(),
        "files": _files(),
        "diff_files": _diff(),
        "facts": [
            Fact("Parameters", "124 M", "cpu"),
            Fact("Memory", "0.5 GB", "hard-drive"),
            Fact("Licence", Markup('<a href="#">Apache-2.0</a>'), "scale"),
        ],
        "columns": [
            Column("Model", sort_href="#"),
            Column("Perplexity", "end", "#", "ascending"),
            Column("Memory", "end"),
        ],
        "licences": [
            Option("apache-2.0", "Apache 2.0"),
            Option("mit", "MIT"),
            Option("cc-by-4.0", "CC BY 4.0"),
        ],
        "visibilities": [
            Option("public", "Public", "Everyone can see and download it.", "globe"),
            Option("private", "Private", "Only members you choose.", "lock"),
        ],
        "scopes": [
            Option("read", "Read", "Download private repositories.", "eye"),
            Option("write", "Write", "Commit and create.", "pencil"),
            Option("admin", "Administer", "Not for this organisation.", "shield", is_disabled=True),
        ],
        "code": highlight_file(_CODE, "mask.py"),
        "card": render_markdown(_MARKDOWN, base_url_for_links="/ada/tiny-llm/blob/main/"),
        "flashes": [Flash("Settings saved."), Flash("The mirror is slow today.", "warning")],
        "icons": sorted(icon_names()),
        "people": ["ada", "grace", "王芳", "lab", "linus", "katherine", "alan", "edsger"],
        "now": now(),
        "ada": Person("ada", "/ada", "Ada Lovelace"),
        "comments": _comments(),
        "polls": _polls(),
        "sample_notebook": render_notebook(_NOTEBOOK),
        "days": [f"{day} Nov" for day in range(1, 31)],
        "counts": [(day * 37) % 23 + day * 2 for day in range(30)],
        "steps": [step * 100 for step in range(80)],
        "marks": [
            ScatterPoint("ada/tiny-llm", 1e6, 0.61),
            ScatterPoint("ada/small-llm", 3e7, 0.74),
            ScatterPoint("grace/rival", 4e8, 0.72, tone=7),
        ],
        "curves": [
            Series("train", [round(4.2 / (1 + step / 9) + 1.9, 3) for step in range(80)]),
            Series(
                "validation",
                [
                    round(4.1 / (1 + step / 10) + 2.1, 3) if step % 4 == 0 or step > 40 else None
                    for step in range(80)
                ],
            ),
        ],
        "emojis": ["👍", "❤️", "🎉", "🚀", "👀", "😕"],
    }


_COMMENT = """The mask is off by one at the end of a batch, see #12 and `train.py`:

> each token sees itself

@grace, could you look? [^1]

[^1]: Only with packing."""


def _comments() -> list[CommentView]:
    at = now()
    references = References({"grace": "/grace"}, lambda _repo, number: f"#{number}")
    body = render_markdown(_COMMENT, references=references, heading_ids=False, scope="c1")
    answer = render_markdown("Fixed in `4f2a1c9`: the last row was cut.", heading_ids=False, scope="c2")
    ada, grace = Person("ada", "#", "Ada Lovelace"), Person("grace", "#")
    return [
        CommentView(
            "c1", ada, at - timedelta(hours=5), "#comment-c1", body, _COMMENT, (Badge("Author"),),
            edited_at=at, edits_href="#", react_href="#",
            reactions=(Reaction("👍", 3, True, "ada, grace, 王芳"), Reaction("👀", 1, people="grace")),
        ),
        CommentView(
            "c2", grace, at - timedelta(hours=2), "#comment-c2", answer, "Fixed.",
            (Badge("Maintainer", "accent"),), react_href="#", is_answer=True, reply_to=ada,
            reply_to_href="#comment-c1",
        ),
        CommentView(
            "c3", None, at - timedelta(minutes=9), "#comment-c3", None, is_hidden=True, hidden_reason="spam"
        ),
    ]  # fmt: skip


def _polls() -> list[Poll]:
    options = (
        PollOption("1", "Chinese", 34, True), PollOption("2", "English", 12), PollOption("3", "日本語", 5)
    )  # fmt: skip
    return [
        Poll("Which language next?", options, 51, "/-/patterns", closes_at=now() + timedelta(days=3)),
        Poll("Which language next?", options, 51, is_closed=True),
    ]


def _tabs() -> list[Tab]:
    return [
        Tab("Card", "#", "book-open", is_current=True),
        Tab("Files", "#", "folder"),
        Tab("Community", "#", "message-square", count=12),
        Tab("Settings", "#", "settings"),
    ]


def _repos() -> list[RepoCard]:
    at = now()
    return [
        RepoCard(
            "ada/tiny-llm", "#", "model", at - timedelta(hours=3), "A small language model for teaching.",
            "Text generation", "124M", "apache-2.0", 18_420, 312,
            tags=(Tag("en"), Tag("zh")),
        ),
        RepoCard(
            "grace/news-zh", "#", "dataset", at - timedelta(days=3), "中文新闻标题与摘要，按主题标注。",
            "Summarisation", None, "cc-by-4.0", 2_140, 57, is_gated=True,
        ),
        RepoCard("lab/chat-room", "#", "space", at - timedelta(days=40), likes=9, is_private=True),
        RepoCard("lab/fast-kernels", "#", "code", at - timedelta(days=400), downloads=1_204_000, likes=21),
    ]  # fmt: skip


def _facets() -> list[FacetGroup]:
    return [
        FacetGroup(
            "Task",
            [
                FacetOption("Text generation", "#", 1240, is_selected=True),
                FacetOption("Classification", "#", 410),
                FacetOption("Translation", "#", 96),
            ],
            "layers",
            more_href="#",
        ),
        FacetGroup("Licence", [FacetOption("apache-2.0", "#", 803), FacetOption("mit", "#", 377)], "scale"),
    ]


def _files() -> list[FileRow]:
    at = now() - timedelta(days=2)
    return [
        FileRow("configs", "#", "folder", message="Add the small recipe", commit_href="#", changed_at=at),
        FileRow("README.md", "#", "file", 4_210, "Describe the data", "#", at, "#"),
        FileRow("model.safetensors", "#", "lfs", 497_774_208, "First checkpoint", "#", at, "#"),
    ]


def _diff() -> list[DiffFile]:
    lines = (
        DiffLine("same", 11, 11, "model:"),
        DiffLine("removed", 12, None, "  layers: 6"),
        DiffLine("added", None, 12, "  layers: 12"),
        DiffLine("same", 13, 13, "  heads: 8"),
    )
    hunk = DiffHunk("@@ -11,3 +11,3 @@", lines)
    return [
        DiffFile(
            "configs/train.yaml", "modified", 1, 1, [hunk], comment_href="#",
            threads={"new:12": Markup("<p>Twelve layers need {} of memory.</p>").format("2 GB")},
        ),
        DiffFile("weights.bin", "deleted", 0, 0, note="A binary file of 12 MB."),
    ]  # fmt: skip
