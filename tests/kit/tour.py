"""Every kind of page, with its address in the small world of `kit.seed` and `kit.seed_community`.

`ROUTES_WITHOUT_A_STOP` names the routes that answer no page, or none that a link leads to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.routing import BaseRoute, Match

from llmos.app.asgi import build_api, flat_routes
from llmos.features.accounts.models import Namespace, User
from llmos.features.collections.models import Collection
from llmos.features.collections.service import slug_of
from llmos.features.discussions.models import Comment, Thread
from llmos.features.evals.models import EvalResult
from llmos.features.jobs.models import Job
from llmos.features.moderation.models import Case
from llmos.features.notifications.models import Webhook
from llmos.features.playground.models import PlaygroundChat, PlaygroundShare
from llmos.features.quickstart.models import QuickstartRun
from llmos.features.repos.models import Repo

TINY = "/ada/tiny-llm"
NEWS = "/datasets/grace/news-zh"
BOARD = "/datasets/grace/tang-cloze/leaderboard"


@dataclass(frozen=True, slots=True)
class Stop:
    """A page to look at, as `who` (None: a visitor). `is_part` is a piece that htmx loads."""

    path: str
    who: str | None = "ada"
    is_part: bool = False


# What everybody may see.
PUBLIC = (
    "/", "/docs", "/docs/discussions", "/models", "/datasets", "/spaces", "/kernels", "/search?q=tiny",
    "/search?q=%E6%8D%9F%E5%A4%B1&tab=threads", "/which-model", "/which-model?task=text-generation&memory=8",
    "/ada", "/lab", "/ada/-/threads", "/ada/-/likes", "/ada/-/followers", "/ada/-/following",
    "/lab/-/members", TINY, NEWS, "/datasets/grace/dialogues", "/spaces/lab/attention-drawn",
    "/spaces/lab/attention-drawn/app",
    "/kernels/lab/fast-attention", f"{TINY}/tree/main", f"{TINY}/tree/main/training",
    f"{TINY}/blob/main/README.md", f"{TINY}/blob/main/training/train.py",
    f"{TINY}/blob/main/model.safetensors", f"{NEWS}/blob/main/data/train.parquet",
    f"{NEWS}/blob/main/sample.csv", f"{TINY}/commits/main", f"{TINY}/commits/main/README.md",
    f"{TINY}/branches", f"{TINY}/compare/v1.0...main",
    f"{TINY}/blame/main/README.md", f"{TINY}/discussions", "/collections",
    "/ada/tiny-llm-chat", "/ada/tiny-llm-chat/curves/main",
    "/ada/tiny-llm-chat/blob/main/runs/first/events.out.tfevents.1732000000.box.1.0",
    "/jobs/-/experiments", "/jobs/ada/-/experiments",
    "/benchmarks", "/benchmarks/log", "/benchmarks/combined?b=grace/tang-cloze:cloze",
    BOARD, f"{BOARD}?view=plots", f"{BOARD}?col=joules&col=license&col=revision&evidence=signed",
    "/embed/leaderboard/grace/tang-cloze", f"{TINY}/evaluation",
    "/playground", "/playground?model=ada/tiny-llm&with=ada/no-such", f"{TINY}/playground", f"{TINY}/embed",
    "/forum", "/forum/c/help", "/forum/t/training", "/forum/trust", "/code-of-conduct", "/-/patterns",
)  # fmt: skip
# What one sees before signing in.
ENTRANCES = ("/login", "/join", "/-/forgot")
# What ada sees of her own, and what she may do.
OWN = (
    "/", "/feed", "/new", "/new-dataset", "/new-space", "/new-tool", "/ada/notebook", f"{TINY}/settings",
    f"{TINY}/settings/storage", f"{TINY}/settings/community", f"{TINY}/settings/blocked",
    f"{TINY}/upload/main", f"{TINY}/new/main", f"{TINY}/edit/main/README.md",
    f"{TINY}/delete/main/config.json", f"{TINY}/branches", f"{TINY}/discussions/new",
    f"{TINY}/discussions/new-pull", "/ada/-/deleted", "/ada/-/storage", "/buckets/ada",
    "/buckets/ada/corpus", "/collections/new", "/collections/add?type=model&id=ada/tiny-llm",
    "/settings/profile",
    "/settings/account", "/settings/tokens", "/settings/applications", "/settings/organizations",
    "/settings/notifications", "/settings/webhooks", "/settings/data", "/organizations/new",
    "/orgs/lab/settings", "/orgs/lab/members", "/device", "/notifications", "/notifications?view=all",
    "/forum/new", "/forum/bookmarks", "/forum/drafts", "/moderation/standing", "/jobs",
    "/jobs/ada", "/jobs/ada/-/new", "/jobs/ada/-/new?kind=command",
    "/jobs/ada/-/new?recipe=ada/tiny-llm-chat", "/jobs/ada/-/schedules", "/runners", f"{TINY}/evaluation",
    "/endpoints", "/endpoints/-/new", "/endpoints/-/new?model=ada/tiny-llm",
    "/quickstart",
    "/playground", "/playground?model=ada/tiny-llm", "/playground/chats",
)  # fmt: skip
OF_ADMINS = (
    "/-/admin/users", "/-/admin/audit", "/-/admin/categories", "/-/admin/moderators",
    "/moderation", "/moderation/log", "/moderation/appeals", "/benchmarks/instances",
)  # fmt: skip

ROUTES_WITHOUT_A_STOP = {
    "/favicon.ico": "a picture",
    "/avatars/{file:seg}": "a picture",
    "/robots.txt": "a text",
    "/-/schemas/recipe.json": "a file for editors",
    "/-/admin": "leads on",
    "/collections/{ns:seg}": "leads on",
    "/-/diagram": "the frame of a drawing",
    "/-/claim/{secret:seg}": "one-time link",
    "/-/reset/{secret:seg}": "one-time link",
    "/-/verify/{secret:seg}": "one-time link",
    "/-/invite/{secret:seg}": "one-time link",
    "/-/unsubscribe/{token:seg}": "link of a mail",
    "/jobs/{ns:seg}/{job_id:seg}/live": "a stream",
    "/jobs/{ns:seg}/{job_id:seg}/log": "a text",
    "/oauth/authorize": "needs an application that asks",
    "/settings": "leads on",
    "/settings/data/export/{export:seg}": "a file",
    "/notifications/{notification_id:int}": "leads on",
    "/notifications/live": "a stream",
    "/forum/{num:int}": "leads on",
    "/forum/{num:int}/{slug:seg}/comments/{comment:seg}": "leads on",
    "/{ns:seg}/{name:seg}/discussions/{num:int}/comments/{comment:seg}": "leads on",
    "/{ns:seg}/{name:seg}/compare": "leads on",
    "/{ns:seg}/{name:seg}/leaderboard/export/{kind:seg}": "a file",
    "/benchmarks/key.pem": "a text",
    "/{ns:seg}/{name:seg}/app/{ticket:seg}/{path:rest}": "a file of the frame of an application",
    "/-/apps/models": "a list for scripts",
    "/quickstart/smollm2": "a part of the page that offers it",
    "/quickstart/{run_id:seg}/live": "a part of the page of a run",
    "/{ns:seg}/{name:seg}/settings/storage/remove": "the answer to a form",
    "/buckets/{ns:seg}/{name:seg}/tree": "the same page as the bucket",
    "/buckets/{ns:seg}/{name:seg}/tree/{prefix:rest}": "the same page as the bucket",
}
_FEEDS = re.compile(r"/-/feeds/")
_TYPES = re.compile(r"^/(datasets|spaces|kernels)(?=/\{)")


def _topic(db: Session, beginning: str) -> tuple[str, Comment]:
    """The address of the topic whose title begins so, and its second post."""
    thread = db.scalars(select(Thread).where(Thread.title.startswith(beginning))).unique().one()
    second = select(Comment).where(Comment.thread_id == thread.id).order_by(Comment.id).offset(1).limit(1)
    return f"/forum/{thread.num}", db.scalars(second).unique().one()


def _thread(db: Session, beginning: str) -> tuple[str, Thread]:
    """The address of the thread of a repository whose title begins so."""
    thread = db.scalars(select(Thread).where(Thread.title.startswith(beginning))).unique().one()
    return f"{TINY}/discussions/{thread.num}", thread


def list_stops(db: Session) -> list[Stop]:
    """Every page of the tour, those of threads and cases by their numbers."""
    stops = [Stop(path, None) for path in (*PUBLIC, *ENTRANCES)]
    stops += [Stop(path) for path in OWN]
    stops += [Stop(path, "root-admin") for path in OF_ADMINS]
    stops += _jobs(db)
    stops += _results(db)
    stops += _threads(db)
    stops += _topics(db)
    stops += _first_models(db)
    stops += _talks(db)
    stops += [Stop("/endpoints/tiny", who) for who in (None, "ada")]
    case = db.scalars(select(Case.id).order_by(Case.id)).first()
    stops.append(Stop(f"/moderation/cases/{case}", "root-admin"))
    collection = db.scalars(select(Collection).where(Collection.upvotes > 0)).unique().first()
    assert collection is not None
    stops += [Stop(f"/collections/{slug_of(collection)}", who) for who in (None, "ada")]
    webhook = db.scalars(select(Webhook).order_by(Webhook.id)).first()
    assert webhook is not None
    stops.append(Stop(f"/settings/webhooks/{webhook.object_id}"))
    return stops


def _jobs(db: Session) -> Iterator[Stop]:
    """A run that is over, one under way, all of them compared, the form to fork one."""
    # The newest: other tests may have left some of their own here.
    wanted = select(Job).where(Job.kind == "recipe", Job.visibility == "public").order_by(Job.id.desc())
    ids = [job.object_id for job in db.scalars(wanted.limit(3)).unique()][::-1]
    for who in (None, "ada"):
        yield Stop(f"/jobs/ada/{ids[0]}", who)
        yield Stop("/jobs/-/compare?" + "&".join(f"run={job_id}" for job_id in ids), who)
    yield Stop(f"/jobs/ada/{ids[2]}")
    yield Stop(f"/jobs/me/-/new?from={ids[1]}&of=ada", "grace")


def _first_models(db: Session) -> Iterator[Stop]:
    """A run of the quick start that is over; the oldest, as other tests may begin some."""
    found = db.scalars(select(QuickstartRun.object_id).order_by(QuickstartRun.id)).first()
    yield Stop(f"/quickstart/{found}")


def _results(db: Session) -> Iterator[Stop]:
    """A signed record, one that only says so, and answers side by side."""
    found = select(EvalResult).where(EvalResult.dataset_key == "grace/tang-cloze").order_by(EvalResult.value)
    worst, *_others, best = [row.record_id for row in db.scalars(found)]
    signed = select(EvalResult.record_id).join(Repo, Repo.id == EvalResult.repo_id)
    mine = db.scalar(signed.where(Repo.name == "tiny-llm", EvalResult.signer_keyid != ""))
    for who in (None, "ada", "root-admin"):
        yield Stop(f"/benchmarks/records/{mine}", who)
    yield Stop(f"/benchmarks/records/{best}", None)
    yield Stop(f"{TINY}/evaluation/samples?record={mine}", None)
    yield Stop(f"{TINY}/evaluation/samples?record={mine}&with={worst}&show=different")


def _threads(db: Session) -> Iterator[Stop]:
    talk, thread = _thread(db, "May the weights")
    yield Stop(talk, None)
    yield Stop(talk)
    yield Stop(f"{talk}/rename")
    said = db.scalars(select(Comment).where(Comment.thread_id == thread.id).order_by(Comment.id))
    comment = next(one for one in said.unique() if one.edit_count)
    for page in ("edit", "history", "hide"):
        yield Stop(f"{talk}/comments/{comment.public_id}/{page}")
    yield Stop(f"/moderation/act?kind=comment&key={comment.public_id}", "root-admin")
    yield Stop(f"/-/report?kind=thread&key={thread.id}", "grace")
    yield Stop(f"/-/watch/thread/{thread.id}", is_part=True)
    pull, _ = _thread(db, "Put the mask")
    yield Stop(pull, None)
    for page in ("", "/commits", "/files", "/line?path=training/train.py&side=new&line=24"):
        yield Stop(pull + page)
    weights, _ = _thread(db, "Store the norms")
    yield Stop(weights)
    yield Stop(f"{weights}/files")
    yield Stop(f"{weights}/tensors?path=model.safetensors")
    conflict, _ = _thread(db, "Train for longer")
    yield Stop(conflict)
    yield Stop(f"{conflict}/conflicts")
    merged, thread = _thread(db, "Say how to cite")
    yield Stop(merged)
    assert thread.pull is not None
    yield Stop(f"{TINY}/commit/{thread.pull.merge_oid}", None)


def _topics(db: Session) -> Iterator[Stop]:
    loss, post = _topic(db, "Why does the loss explode")
    slug = f"{loss}/why-does-the-loss-explode-after-warm-up"
    yield Stop(slug, None)
    yield Stop(slug)
    yield Stop(f"{slug}/edit", "grace")
    for page in ("edit", "history", "hide"):
        yield Stop(f"{slug}/comments/{post.public_id}/{page}", "grace")
    yield Stop("/forum/similar?title=loss+explodes", is_part=True)
    yield Stop("/search/suggest?q=tiny", is_part=True)


def _talks(db: Session) -> Iterator[Stop]:
    """What ada kept of her model's words, and shared."""
    ada = select(User.id).join(Namespace).where(Namespace.name == "ada").scalar_subquery()
    chats = select(PlaygroundChat.object_id).where(PlaygroundChat.user_id == ada)
    links = select(PlaygroundShare.secret).where(PlaygroundShare.user_id == ada)
    yield Stop(f"/playground/chats/{db.scalars(chats.order_by(PlaygroundChat.id)).first()}")
    link = db.scalars(links.order_by(PlaygroundShare.id)).first()
    for who in (None, "ada"):
        yield Stop(f"/playground/s/{link}", who)


@lru_cache(maxsize=1)
def _routes() -> list[BaseRoute]:
    return list(flat_routes(build_api()))


def page_routes() -> set[str]:
    """The pattern of every address that answers a page, without the prefix of a type."""
    found: set[str] = set()
    for route in _routes():
        module = getattr(getattr(route, "endpoint", None), "__module__", "")
        path, methods = getattr(route, "path", ""), getattr(route, "methods", None) or ()
        if "pages" in module and "GET" in methods and not _FEEDS.match(path):
            found.add(_TYPES.sub("", path))
    return found


def route_of(path: str) -> str | None:
    """The pattern of the route that answers a path."""
    scope = {"type": "http", "method": "GET", "path": path.partition("?")[0], "headers": []}
    for route in _routes():
        if route.matches(scope)[0] is Match.FULL:
            return _TYPES.sub("", getattr(route, "path", ""))
    return None
