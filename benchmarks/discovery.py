"""Looking things up: HEAD /resolve, model_info, list_models."""

from __future__ import annotations

import random
import time
import urllib.request
from collections.abc import Iterator

from huggingface_hub import HfApi
from sqlalchemy import insert, select

from benchmarks.bench import Bench, percentile, request_rate
from benchmarks.report import Row
from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.features.accounts.actor import ANONYMOUS
from llmos.features.accounts.models import Namespace
from llmos.features.discovery.posts import find_posts, reindex_posts
from llmos.features.discussions.models import Comment, Thread
from llmos.features.repos.models import Repo, RepoFacts, RepoTag

REPO_COUNT = 10_000
TASKS = ("text-generation", "fill-mask", "text-classification", "translation", "summarization")


def head_resolve(bench: Bench) -> Iterator[Row]:
    """HEAD of a public file beside the emptiest handler of the same server."""
    api = HfApi(endpoint=bench.server.url, token=bench.token)
    api.create_repo("ada/head")
    api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="ada/head")
    empty = f"{bench.server.url}/-/health"
    file = f"{bench.server.url}/ada/head/resolve/main/config.json"
    request_rate(file, head=True, duration_s=1)
    theirs, ours = [], []
    for _ in range(3):
        theirs.append(request_rate(empty, duration_s=3))
        ours.append(request_rate(file, head=True, duration_s=3))
    yield Row(
        "HEAD /resolve, 16 connections, 1 worker",
        f"{max(ours):.0f}/s",
        f"empty handler {max(theirs):.0f}/s",
        max(ours) / max(theirs),
        at_least=0.5,
    )


def fill(bench: Bench, count: int = REPO_COUNT) -> None:
    """Rows of `count` public models with facts and tags; no git folders, which no list may touch."""
    with bench.rt.database.writing() as db:
        owner = db.scalars(select(Namespace).where(Namespace.name_key == "ada")).unique().one()
        repos = [
            {
                "object_id": new_object_id(),
                "type": "model",
                "namespace_id": owner.id,
                "name": f"model-{number:05d}",
                "name_key": f"model-{number:05d}",
                "head_oid": f"{number:040x}",
                "downloads": number * 7919 % 10_007,
                "likes": number * 104_729 % 997,
                "pipeline_tag": TASKS[number % len(TASKS)],
                "library_name": "transformers",
                "license": "apache-2.0",
                "tags": [
                    "transformers",
                    "safetensors",
                    "en",
                    TASKS[number % len(TASKS)],
                    "license:apache-2.0",
                ],
                "updated_at": clock.from_unix(1_700_000_000 + number),
                "created_at": clock.from_unix(1_600_000_000 + number),
            }
            for number in range(count)
        ]
        db.execute(insert(Repo), repos)
        ids = db.scalars(select(Repo.id).where(Repo.name_key.like("model-%"))).all()
        names = (".gitattributes", "README.md", "config.json", "model.safetensors", "tokenizer.json")
        siblings = [{"rfilename": name, "size": 1000, "blobId": "0" * 40} for name in names]
        facts = [
            {
                "repo_id": repo_id,
                "head_oid": f"{repo_id:040x}",
                "card": {"license": "apache-2.0", "language": ["en"]},
                "siblings": siblings,
                "config": {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
                "safetensors": {"parameters": {"BF16": 1_000_000}, "total": 1_000_000},
            }
            for repo_id in ids
        ]
        db.execute(insert(RepoFacts), facts)
        tags = [
            {"repo_id": repo_id, "tag": tag}
            for repo_id in ids
            for tag in ("transformers", "en", "license:apache-2.0")
        ]
        db.execute(insert(RepoTag), tags)
    with bench.rt.database.engine.connect() as connection:
        # The log of so large a write slows every reader down until it is worked in.
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def _p95_ms(bench: Bench, urls: list[str]) -> float:
    took: list[float] = []
    for url in urls:
        started = time.perf_counter()
        with urllib.request.urlopen(f"{bench.server.url}{url}") as answer:
            answer.read()
        took.append((time.perf_counter() - started) * 1000)
    return percentile(took[len(took) // 10 :], 0.95)


def lists(bench: Bench) -> Iterator[Row]:
    """p95 of single requests over 10,000 repositories; the limit is the target itself."""
    fill(bench)
    cases = [
        ("model_info", [f"/api/models/ada/model-{n * 37 % REPO_COUNT:05d}" for n in range(300)], 15.0),
        ("list_models(limit=100)", ["/api/models?limit=100"] * 100, 40.0),
        ("list_models(sort=downloads, full)", ["/api/models?limit=100&sort=downloads&full=true"] * 100, 40.0),
        ("list_models(filter, search)", ["/api/models?limit=100&filter=en&search=model-00"] * 100, 40.0),
        ("list_models(pipeline_tag)", ["/api/models?limit=100&pipeline_tag=translation"] * 100, 40.0),
    ]
    for name, urls, limit_ms in cases:
        p95 = _p95_ms(bench, urls)
        yield Row(
            f"{name} of 10,000, p95", f"{p95:.1f} ms", f"limit {limit_ms:.0f} ms", p95 / limit_ms, at_most=1.0
        )


POST_COUNT = 100_000
_EN = (
    "model training loss gradient tokenizer batch learning rate schedule weights checkpoint evaluation data "
    "set quality memory attention layer context window prompt answer question merge request review"
).split()
_ZH = (
    "模型训练",
    "损失函数",
    "学习率",
    "数据集",
    "分词器",
    "显存不足",
    "注意力机制",
    "上下文",
    "评测结果",
    "权重合并",
)
_PLANTED = (
    "quokka convergence anomaly", "heliotrope tokenizer drift", "zanzibar checkpoint merge",
    "蓝鲸收敛异常", "量子茶壶分词", "极光权重漂移",
)  # fmt: skip
PLANTED_EACH = 7


def fill_posts(bench: Bench, count: int = POST_COUNT) -> None:
    """Threads of ten posts in both languages; every planted phrase stands in PLANTED_EACH of them."""
    made = random.Random(7)
    with bench.rt.database.writing() as db:
        author = db.scalars(select(Namespace.id).where(Namespace.name_key == "ada")).one()
        threads = [
            {"kind": "topic", "title": f"Topic {number}", "author_id": author, "num": number}
            for number in range(count // 10)
        ]
        db.execute(insert(Thread), threads)
        ids = list(db.scalars(select(Thread.id).order_by(Thread.id)))
        planted = dict(
            zip(made.sample(range(count), len(_PLANTED) * PLANTED_EACH), _PLANTED * PLANTED_EACH, strict=True)
        )
        rows = []
        for number in range(count):
            words = made.choices(_EN, k=40) if number % 2 else made.choices(_ZH, k=20)
            words.insert(made.randrange(len(words)), planted.get(number, ""))
            rows.append(
                {
                    "public_id": f"{number:024x}",
                    "thread_id": ids[number % len(ids)],
                    "author_id": author,
                    "text": (" " if number % 2 else "，").join(words),
                }
            )
        db.execute(insert(Comment), rows)
    with bench.rt.database.writing() as db:
        reindex_posts(db)


def search_posts(bench: Bench) -> Iterator[Row]:
    """The query behind the search page alone, over 100,000 posts: planted, rare and common words."""
    fill_posts(bench)
    queries = [
        *_PLANTED,
        "gradient checkpoint",
        "learning rate",
        "显存不足",
        "注意力机制 学习率",
        "token",
        "训练",
    ]
    took: dict[str, list[float]] = {"en": [], "zh": []}
    found: dict[str, int] = {}
    with bench.rt.database.reading() as db:
        for _ in range(20):
            for query in queries:
                started = time.perf_counter()
                posts = find_posts(db, ANONYMOUS, query, limit=20)
                took["en" if query.isascii() else "zh"].append((time.perf_counter() - started) * 1000)
                found[query] = sum(query in post.comment.text for post in posts)
    for language, times in took.items():
        p95 = percentile(times, 0.95)
        yield Row(
            f"search of 100,000 posts, {language}, p95", f"{p95:.1f} ms", "limit 20 ms", p95 / 20, at_most=1.0
        )
    recall = sum(found[phrase] for phrase in _PLANTED) / (len(_PLANTED) * PLANTED_EACH)
    yield Row("recall of planted phrases", f"{recall:.3f}", "all of them", recall, at_least=1.0)
