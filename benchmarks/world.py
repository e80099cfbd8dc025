"""A community of the size the goals name, written in bulk: people, repositories, threads, the forum."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.ids import new_object_id
from llmos.features.accounts.models import Follow, Namespace, User
from llmos.features.collections.models import Collection, CollectionItem
from llmos.features.discovery.models import ActivityDay, FeedEntry
from llmos.features.discussions.categories import ensure_categories
from llmos.features.discussions.models import Category, Comment, Reaction, Thread, ThreadTag
from llmos.features.moderation.models import Case, Flag
from llmos.features.notifications.models import Notification
from llmos.features.repos.models import DownloadDay, Repo, RepoFacts, RepoLike, RepoTag
from llmos.features.repos.naming import doc_key
from llmos.features.repos.places import git_path
from llmos.infra.git.repository import init_bare
from llmos.infra.runtime import Runtime
from llmos.infra.search.tables import SearchDocument, SearchPost, Shelf
from llmos.infra.search.words import index_words

PEOPLE = 2_000
REPOS = 1_000
POSTS = 100_000
LONG_TOPIC = 10_000
TOPICS = 6_000
DISCUSSIONS = 3_000
_BATCH = 5_000

_TASKS = ("text-generation", "fill-mask", "text-classification", "translation", "summarization")
_LIBRARIES = ("transformers", "diffusers", "sentence-transformers", "gguf")
_LICENSES = ("apache-2.0", "mit", "cc-by-4.0", "llama3")
_TAGS = ("tokenizer", "cuda", "lora", "中文", "papers", "quantisation", "evaluation")
_EN = (
    "model training loss gradient tokenizer batch learning rate schedule weights checkpoint evaluation data "
    "set quality memory attention layer context window prompt answer question merge request review"
).split()
_ZH = "模型训练 损失函数 学习率 数据集 分词器 显存不足 注意力机制 上下文 评测结果 权重合并".split()


@dataclass(frozen=True)
class World:
    """What the pages are asked for by name."""

    people: list[int]
    repos: list[int]
    long_topic: int
    topic: int
    discussion_repo: str
    discussion: int
    collection: str


def fill_world(rt: Runtime, *, posts: int = POSTS, repos: int = REPOS) -> World:
    """Write everything; needs the people of `kit.people`, and may be done once."""
    made = random.Random(11)
    ensure_categories(rt)
    with rt.database.writing() as db:
        people = _add_people(db)
        repo_ids = add_repos(db, people, repos)
        _add_likes(db, made, people, repo_ids)
        long_topic, topic, (discussed, number) = _add_threads(db, made, people, repo_ids, posts)
        collection = _add_collections(db, made, people, repo_ids)
        _add_news(db, made, people, repo_ids)
        _add_cases(db, made, people)
        discussion_repo = db.scalars(select(Repo).where(Repo.id == discussed)).unique().one()
        name = discussion_repo.repo_name
        # The others have rows alone: nothing asks for their files.
        init_bare(git_path(rt, discussion_repo))
    with rt.database.writing() as db:
        _index(db, repo_ids)
        if db.get_bind().dialect.name == "sqlite":
            db.execute(text("ANALYZE"))
    return World(people, repo_ids, long_topic, topic, name, number, collection)


def _put(db: Session, table: Any, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), _BATCH):
        db.execute(insert(table), rows[start : start + _BATCH])


def _ago(minutes: float) -> datetime:
    return clock.now() - timedelta(minutes=minutes)


def _ids(db: Session, column: Any, after: int) -> list[int]:
    return list(db.scalars(select(column).where(column > after).order_by(column)))


def _newest(db: Session, column: Any) -> int:
    return db.scalar(select(func.max(column))) or 0


def _add_people(db: Session) -> list[int]:
    before = _newest(db, Namespace.id)
    names = [f"person-{number:04d}" for number in range(PEOPLE)]
    _put(db, Namespace, [{"kind": "user", "name": n, "name_key": n, "fullname": n.title()} for n in names])
    ids = _ids(db, Namespace.id, before)
    _put(
        db,
        User,
        [{"id": id_, "email": f"{id_}@example.org", "email_key": f"{id_}@example.org"} for id_ in ids],
    )
    ada, lab = (db.scalars(select(Namespace.id).where(Namespace.name_key == n)).one() for n in ("ada", "lab"))
    follows = [{"follower_id": id_, "namespace_id": ada} for id_ in ids[:500]]
    follows += [{"follower_id": ada, "namespace_id": id_} for id_ in (*ids[:100], lab)]
    _put(db, Follow, follows)
    today = clock.now().date()
    days = [
        {"user_id": ada, "day": today - timedelta(days=n), "kind": "post", "count": n % 9} for n in range(365)
    ]
    _put(db, ActivityDay, days)
    return [ada, *ids]


def add_repos(db: Session, people: list[int], count: int, start: int = 0) -> list[int]:
    """Rows of repositories with facts, tags and search documents; no git folders."""
    lab = db.scalars(select(Namespace.id).where(Namespace.name_key == "lab")).one()
    before = _newest(db, Repo.id)
    _put(db, Repo, [_repo(number, lab, people) for number in range(start, start + count)])
    ids = _ids(db, Repo.id, before)
    names = (".gitattributes", "README.md", "config.json", "model.safetensors", "tokenizer.json")
    siblings = [{"rfilename": name, "size": 1000, "blobId": "0" * 40} for name in names]
    facts = {
        "card": {"license": "apache-2.0", "language": ["en"]},
        "card_text": " ".join(_EN) + "。".join(_ZH),
        "siblings": siblings,
        "config": {"architectures": ["LlamaForCausalLM"], "model_type": "llama"},
        "safetensors": {"parameters": {"BF16": 1_000_000}, "total": 1_000_000},
    }
    _put(db, RepoFacts, [facts | {"repo_id": id_, "head_oid": f"{id_:040x}"} for id_ in ids])
    tags = db.execute(select(Repo.id, Repo.tags).where(Repo.id > before)).all()
    _put(db, RepoTag, [{"repo_id": id_, "tag": tag} for id_, own in tags for tag in own])
    today = clock.now().date()
    days = [(id_, n) for id_ in ids[::5] for n in range(30)]
    _put(
        db,
        DownloadDay,
        [{"repo_id": r, "day": today - timedelta(days=n), "count": n + r % 7} for r, n in days],
    )
    return ids


def _repo(number: int, lab: int, people: list[int]) -> dict[str, Any]:
    kind = ("model",) * 7 + ("dataset", "dataset", "space")
    task, library = _TASKS[number % len(_TASKS)], _LIBRARIES[number % len(_LIBRARIES)]
    licence = _LICENSES[number % len(_LICENSES)]
    owner = people[0] if number % 10 == 0 else lab if number % 10 == 1 else people[number % len(people)]
    return {
        "object_id": new_object_id(),
        "type": kind[number % 10],
        "namespace_id": owner,
        "name": f"work-{number:05d}",
        "name_key": f"work-{number:05d}",
        "head_oid": f"{number:040x}",
        "visibility": "private" if number % 50 == 7 else "public",
        "downloads": number * 7919 % 10_007,
        "likes": number * 104_729 % 97,
        "trending_score": float(number * 31 % 101),
        "pipeline_tag": task,
        "library_name": library,
        "license": licence,
        "sdk": "static" if kind[number % 10] == "space" else None,
        "total_parameters": 10_000_000 * (number % 70 + 1),
        "inference_bytes": 20_000_000 * (number % 70 + 1),
        "tags": [library, "safetensors", "en", "zh", task, f"license:{licence}"],
        "updated_at": _ago(number * 7),
        "created_at": _ago(number * 11),
    }


def _add_likes(db: Session, made: random.Random, people: list[int], repos: list[int]) -> None:
    pairs = {(made.choice(repos), made.choice(people)) for _ in range(20_000)}
    pairs |= {(repo, people[0]) for repo in repos[:200]}
    _put(db, RepoLike, [{"repo_id": repo, "user_id": user} for repo, user in sorted(pairs)])


def post_text(made: random.Random, number: int) -> str:
    """A post of an ordinary length; some quote, mention, list or show code."""
    words = made.choices(_EN, k=50) if number % 2 else made.choices(_ZH, k=25)
    written = (" " if number % 2 else "，").join(words)
    more = (
        "",
        "\n\n- one\n- two\n",
        "\n\n> a quote\n\n",
        "\n\n```python\nprint('x')\n```\n",
        " @ada **bold**",
    )
    return written + more[number % 5]


def _add_threads(
    db: Session, made: random.Random, people: list[int], repos: list[int], posts: int
) -> tuple[int, int, tuple[int, int]]:
    categories = list(db.scalars(select(Category.id).order_by(Category.id)))
    before = _newest(db, Thread.id)
    count = TOPICS + DISCUSSIONS
    rows = []
    for number in range(count):
        is_topic = number < TOPICS
        title = " ".join(made.choices(_EN, k=6)) if number % 2 else "".join(made.choices(_ZH, k=4))
        rows.append({
            "kind": "topic" if is_topic else "discussion",
            "repo_id": None if is_topic else repos[number % (len(repos) // 2)],
            "num": 0 if is_topic else number,
            "category_id": made.choice(categories) if is_topic else None,
            "title": f"{title} {number}",
            "author_id": made.choice(people),
            "is_pinned": number in (5, 6),
            "view_count": made.randrange(1000),
            "score": made.randrange(50),
            "created_at": _ago(count * 10 - number * 10 + 500),
            "last_activity_at": _ago(count * 10 - number * 10),
        })  # fmt: skip
    _put(db, Thread, rows)
    ids = _ids(db, Thread.id, before)
    long_topic = ids[1]
    wheres = [long_topic] * min(LONG_TOPIC, posts // 2)
    wheres = [*ids, *wheres, *(ids[n % len(ids)] for n in range(posts - len(ids) - len(wheres)))]
    first = _newest(db, Comment.id)
    step = (count * 10) / posts
    _put(db, Comment, [
        {
            "public_id": f"{number:024x}",
            "thread_id": where,
            "author_id": made.choice(people),
            "text": post_text(made, number),
            "created_at": _ago(count * 10 + 500 - number * step),
        }
        for number, where in enumerate(wheres)
    ])  # fmt: skip
    _finish_threads(db, made, people, ids, first)
    discussed = db.execute(select(Thread.repo_id, Thread.num).where(Thread.id == ids[TOPICS + 20])).one()
    return long_topic, ids[50], (discussed[0] or 0, discussed[1])


def _finish_threads(db: Session, made: random.Random, people: list[int], ids: list[int], first: int) -> None:
    db.execute(text(
        "UPDATE threads SET num = CASE WHEN kind = 'topic' THEN id ELSE num END, last_author_id = author_id, "
        "first_comment_id = (SELECT min(id) FROM comments WHERE thread_id = threads.id), "
        "comment_count = (SELECT count(*) FROM comments WHERE thread_id = threads.id)"
    ))  # fmt: skip
    _put(db, ThreadTag, [{"thread_id": id_, "tag": made.choice(_TAGS)} for id_ in ids[:TOPICS]])
    comments = _ids(db, Comment.id, first)
    pairs = {(made.choice(comments), made.choice(people), made.choice("👍🎉🚀")) for _ in range(20_000)}
    _put(db, Reaction, [{"comment_id": c, "user_id": u, "emoji": e} for c, u, e in sorted(pairs)])


def _add_collections(db: Session, made: random.Random, people: list[int], repos: list[int]) -> str:
    before = _newest(db, Collection.id)
    _put(db, Collection, [
        {
            "namespace_id": people[number % 20],
            "title": f"Collection {number}",
            "slug_base": f"collection {number}",
            "description": " ".join(made.choices(_EN, k=8)),
            "upvotes": number % 40,
            "updated_at": _ago(number),
        }
        for number in range(300)
    ])  # fmt: skip
    ids = _ids(db, Collection.id, before)
    _put(db, CollectionItem, [
        {
            "collection_id": id_,
            "kind": "model",
            "target_key": f"repo:{repo}",
            "repo_id": repo,
            "position": position,
            "note": "worth a look" if position % 3 else "",
        }
        for id_ in ids
        for position, repo in enumerate(made.sample(repos, 100 if id_ == ids[0] else 10))
    ])  # fmt: skip
    db.flush()
    shown = db.scalars(select(Collection).where(Collection.id == ids[0])).unique().one()
    return f"{shown.namespace.name}/collection-0-{shown.object_id}"


def _add_news(db: Session, made: random.Random, people: list[int], repos: list[int]) -> None:
    threads = list(db.scalars(select(Thread.id).limit(2000)))
    _put(db, Notification, [
        {
            "user_id": people[0] if number % 2 else made.choice(people),
            "event_key": f"bench:{number}",
            "reason": "watching",
            "kind": "comment",
            "actor_id": made.choice(people),
            "thread_id": made.choice(threads),
            "title": "A thread",
            "href": "/forum",
            "read_at": None if number % 4 == 1 else clock.now(),
            "created_at": _ago(10_000 - number),
        }
        for number in range(10_000)
    ])  # fmt: skip
    kinds = ("repo", "thread")
    _put(db, FeedEntry, [
        {
            "kind": kinds[number % 2],
            "actor_id": made.choice(people[:200]),
            "namespace_id": made.choice(people[:200]),
            "repo_id": made.choice(repos),
            "thread_id": made.choice(threads) if number % 2 else None,
            "created_at": _ago(20_000 - number),
        }
        for number in range(20_000)
    ])  # fmt: skip


def _add_cases(db: Session, made: random.Random, people: list[int]) -> None:
    before = _newest(db, Case.id)
    comments = list(db.scalars(select(Comment.id).limit(500)))
    _put(db, Case, [
        {
            "subject_kind": "comment",
            "subject_id": comment,
            "owner_id": made.choice(people),
            "title": "A thread",
            "excerpt": " ".join(made.choices(_EN, k=30)),
            "href": "/forum",
            "score": made.random() * 5,
            "opened_at": _ago(number),
        }
        for number, comment in enumerate(comments)
    ])  # fmt: skip
    reporters = [(id_, user) for id_ in _ids(db, Case.id, before) for user in made.sample(people, 3)]
    _put(db, Flag, [{"case_id": c, "reporter_id": u, "reason": "spam", "weight": 1.0} for c, u in reporters])


def _index(db: Session, repo_ids: list[int]) -> None:
    """Search documents as the features write them, but all at once (SQLite only)."""
    wanted = set(repo_ids)
    repos = [repo for repo in db.scalars(select(Repo)).unique() if repo.id in wanted]
    words = " ".join((*_EN, *_ZH))
    _shelve(db, SearchDocument, [
        (doc_key(repo), repo.type, repo.repo_name, f"{' '.join(repo.tags)} {words}", None) for repo in repos
    ])  # fmt: skip
    rows = db.execute(
        select(Comment.id, Comment.text, Thread.kind, Thread.title, Thread.repo_id, Thread.first_comment_id)
        .join(Thread, Thread.id == Comment.thread_id)
        .order_by(Comment.id)
    )
    _shelve(db, SearchPost, [
        (f"comment:{id_}", kind, title if id_ == first else "", body, repo_id)
        for id_, body, kind, title, repo_id, first in rows
    ])  # fmt: skip


def _shelve(db: Session, shelf: type[Shelf], documents: list[tuple[str, str, str, str, int | None]]) -> None:
    base = db.scalar(select(func.max(shelf.id))) or 0
    _put(db, shelf, [
        {"id": base + n, "doc_key": key, "kind": kind, "title": title[:300], "group_id": group}
        for n, (key, kind, title, _body, group) in enumerate(documents, 1)
    ])  # fmt: skip
    statement = text(f"INSERT INTO {shelf.words_table}(rowid, title, body) VALUES (:id, :title, :body)")
    for start in range(0, len(documents), _BATCH):
        db.execute(statement, list(_words(shelf, documents[start : start + _BATCH], base + start)))


def _words(
    shelf: type[Shelf], documents: list[tuple[str, str, str, str, int | None]], base: int
) -> Iterator[dict[str, Any]]:
    for number, (_key, _kind, title, body, _group) in enumerate(documents, 1):
        titled, worded = index_words(title), index_words(body)
        if shelf is SearchPost:
            titled, worded = [f"ttl{word}" for word in titled], [*titled, *worded]
        yield {"id": base + number, "title": " ".join(titled), "body": " ".join(worded)}
