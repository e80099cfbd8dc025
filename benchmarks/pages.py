"""Every kind of page over a full community: time at the server, warm, one worker."""

from __future__ import annotations

import http.client
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.utils import disable_progress_bars
from sqlalchemy import select

from benchmarks.bench import Bench, family, percentile
from benchmarks.report import Row
from benchmarks.world import World, add_repos, fill_world
from kit.seed import World as SeedWorld
from kit.seed import seed_datasets, seed_models
from llmos.features.accounts.actor import ANONYMOUS
from llmos.features.accounts.models import User
from llmos.features.auth.edge import SESSION_COOKIE
from llmos.features.auth.sessions import create_session
from llmos.features.discussions.models import Thread

LIMIT_MS = 80.0
TIMES = 30
WARM_UP = 3
MANY_REPOS = 10_000


@dataclass
class Timing:
    """Of one page: milliseconds until the last byte, and processor time of the server, per request."""

    name: str
    status: int
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    @property
    def p95(self) -> float:
        return percentile(self.wall_ms, 0.95)

    @property
    def cpu_p95(self) -> float:
        return percentile(self.cpu_ms, 0.95)


def sign_in(bench: Bench, name: str) -> str:
    """A browser session of a person: the value of its Cookie header."""
    with bench.rt.database.writing() as db:
        user = db.scalars(select(User).where(User.email_key == f"{name}@example.org")).unique().one()
        return f"{SESSION_COOKIE}={create_session(db, bench.rt, ANONYMOUS, user)}"


def server_cpu_ms(pid: int) -> float:
    """Processor time of a process and its children so far; nanoseconds deep, unlike /proc/PID/stat."""
    total = 0
    for child in family(pid):
        for task in Path(f"/proc/{child}/task").glob("*/schedstat"):
            total += int(task.read_text().split()[0])
    return total / 1e6


def time_page(bench: Bench, name: str, path: str, cookie: str = "", times: int = TIMES) -> Timing:
    connection = http.client.HTTPConnection("127.0.0.1", bench.server.port, timeout=120)
    headers = {"Accept": "text/html", "Cookie": cookie}
    timing = Timing(name, 0)
    for number in range(times + WARM_UP):
        cpu, started = server_cpu_ms(bench.server.process.pid), time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        took = (time.perf_counter() - started) * 1000
        timing.status = answer.status
        if answer.status != 200:
            break
        if number >= WARM_UP:
            timing.wall_ms.append(took)
            timing.cpu_ms.append(server_cpu_ms(bench.server.process.pid) - cpu)
    connection.close()
    return timing


def prepare(bench: Bench) -> tuple[World, int]:
    """The world, and one repository with files, history and a pull request: its number."""
    disable_progress_bars()
    people = SeedWorld(bench.server.url, bench.server.tokens)
    seed_datasets(people)
    seed_models(people)
    files = [CommitOperationAdd(f"notes/{n:02d}.md", f"# Note {n}\n\nchanged\n".encode()) for n in range(20)]
    config = CommitOperationAdd("config.json", b'{"hidden_size": 512}\n')
    pull = HfApi(endpoint=bench.server.url, token=bench.server.tokens["grace"]).create_commit(
        "ada/tiny-llm", [*files, config], commit_message="Add notes", create_pr=True
    )
    return fill_world(bench.rt), int(pull.pr_num or 1)


def page_list(bench: Bench, world: World, pull: int) -> list[tuple[str, str, str]]:
    """(name, address, Cookie header) of every kind of page."""
    ada, admin = sign_in(bench, "ada"), sign_in(bench, "root-admin")
    with bench.rt.database.reading() as db:
        titles = dict(db.execute(
            select(Thread.id, Thread.title).where(Thread.id.in_([world.topic, world.long_topic]))
        ).all())  # fmt: skip
    topic, long_topic = (
        f"/forum/{id_}/{quote(titles[id_].lower().replace(' ', '-'))}"
        for id_ in (world.topic, world.long_topic)
    )
    repo = "/ada/tiny-llm"
    facets = "pipeline_tag=text-generation&library=transformers&language=en&license=apache-2.0"
    return [
        ("home, visitor", "/", ""),
        ("home, signed in", "/", ada),
        ("feed", "/feed", ada),
        ("models", "/models", ""),
        ("models, signed in", "/models", ada),
        ("models, facets", f"/models?{facets}", ""),
        ("models, text", "/models?search=work-00", ""),
        ("models, by likes", "/models?sort=likes", ""),
        ("datasets", "/datasets", ""),
        ("spaces", "/spaces", ""),
        ("search, all", "/search?q=tokenizer", ""),
        ("search, posts", "/search?q=gradient+checkpoint&tab=threads", ""),
        ("search, posts, zh", "/search?q=%E6%98%BE%E5%AD%98%E4%B8%8D%E8%B6%B3&tab=threads", ""),
        ("suggestions", "/search/suggest?q=train", ""),
        ("card", repo, ""),
        ("card, signed in", repo, ada),
        ("card, dataset", "/datasets/grace/news-zh", ""),
        ("files", f"{repo}/tree/main", ""),
        ("file, code", f"{repo}/blob/main/training/train.py", ""),
        ("file, weights", f"{repo}/blob/main/model.safetensors", ""),
        ("file, parquet", "/datasets/grace/news-zh/blob/main/data/train.parquet", ""),
        ("blame", f"{repo}/blame/main/training/train.py", ""),
        ("history", f"{repo}/commits/main", ""),
        ("compare", f"{repo}/compare/v1.0...main", ""),
        ("settings of a repository", f"{repo}/settings", ada),
        ("community tab", f"/{world.discussion_repo}/discussions", ada),
        ("discussion", f"/{world.discussion_repo}/discussions/{world.discussion}", ada),
        ("pull request", f"{repo}/discussions/{pull}", ada),
        ("pull request, files", f"{repo}/discussions/{pull}/files", ada),
        ("forum", "/forum", ""),
        ("forum, signed in", "/forum", ada),
        ("forum, top", "/forum?view=top", ""),
        ("forum, solved", "/forum?view=solved", ""),
        ("forum, unanswered", "/forum?view=unanswered", ""),
        ("forum, category", "/forum/c/help", ada),
        ("forum, tag", "/forum/t/cuda", ""),
        ("topic", topic, ada),
        ("topic of 10,000, visitor", long_topic, ""),
        ("topic of 10,000, signed in", long_topic, ada),
        ("new topic", "/forum/new", ada),
        ("profile", "/ada", ""),
        ("profile, threads", "/ada/-/threads", ada),
        ("profile, likes", "/ada/-/likes", ada),
        ("profile, followers", "/ada/-/followers", ada),
        ("organisation", "/lab", ada),
        ("collections", "/collections", ""),
        ("collection of 100", f"/collections/{world.collection}", ada),
        ("notifications", "/notifications", ada),
        ("settings of notifications", "/settings/notifications", ada),
        ("webhooks", "/settings/webhooks", ada),
        ("which model", "/which-model?task=text-generation&memory=8", ""),
        ("moderation queue", "/moderation", admin),
        ("moderation log", "/moderation/log", admin),
        ("people, for admins", "/-/admin/users", admin),
        ("audit trail", "/-/admin/audit", admin),
        ("storage", "/ada/-/storage", ada),
        ("tokens", "/settings/tokens", ada),
        ("guide", "/docs/discovery", ""),
    ]


def pages(bench: Bench) -> Iterator[Row]:
    """30 requests of each kind, one after the other; then the lists again over 10,000 repositories."""
    world, pull = prepare(bench)
    wanted = page_list(bench, world, pull)
    timings = [time_page(bench, *page) for page in wanted]
    with bench.rt.database.writing() as db:
        add_repos(db, world.people, MANY_REPOS - len(world.repos), start=len(world.repos))
    many = [page for page in wanted if page[0].startswith(("models", "datasets", "spaces", "home", "search"))]
    timings += [time_page(bench, f"{name}, of 10,000", path, cookie) for name, path, cookie in many]
    yield from report(timings)


def report(timings: list[Timing]) -> Iterator[Row]:
    """The slowest first to the terminal; as rows the worst, the middle, and pages that did not answer."""
    shown = sorted((timing for timing in timings if timing.status == 200), key=lambda item: -item.p95)
    print(f"\n{'page':36}  p95 ms  typical  CPU p95", file=sys.stderr)
    for timing in shown:
        typical = percentile(timing.wall_ms, 0.5)
        print(f"{timing.name:36} {timing.p95:7.1f} {typical:8.1f} {timing.cpu_p95:8.1f}", file=sys.stderr)
    silent = [f"{timing.name} ({timing.status})" for timing in timings if timing.status != 200]
    worst, limit = shown[0], f"limit {LIMIT_MS:.0f} ms"
    yield Row(
        f"slowest page, p95: {worst.name}", f"{worst.p95:.1f} ms", limit, worst.p95 / LIMIT_MS, at_most=1.0
    )
    cpu = max(shown, key=lambda item: item.cpu_p95)
    yield Row(
        f"most processor time, p95: {cpu.name}", f"{cpu.cpu_p95:.1f} ms", limit, cpu.cpu_p95 / LIMIT_MS,
        at_most=1.0,
    )  # fmt: skip
    typical = percentile([timing.p95 for timing in shown], 0.5)
    yield Row(
        f"typical p95 of {len(shown)} pages", f"{typical:.1f} ms", limit, typical / LIMIT_MS, at_most=1.0
    )
    yield Row(
        "pages that did not answer 200", str(len(silent)), ", ".join(silent)[:60], len(silent), at_most=0
    )
