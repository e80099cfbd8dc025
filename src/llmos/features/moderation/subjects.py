"""What can be reported and judged: a comment, a thread, a repository, a person, a collection."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from llmos.core.errors import NotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, User
from llmos.features.accounts.policy import access_user
from llmos.features.collections.models import Collection
from llmos.features.collections.policy import access_collection
from llmos.features.collections.service import slug_of
from llmos.features.discussions.hrefs import repo_href, thread_href
from llmos.features.discussions.models import Comment, Thread
from llmos.features.discussions.policy import can_see
from llmos.features.moderation.models import Case
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import access_repo, can_read
from llmos.infra.i18n import lazy

COMMENT = "comment"
THREAD = "thread"
REPO = "repo"
USER = "user"
COLLECTION = "collection"
KINDS = (COMMENT, THREAD, REPO, USER, COLLECTION)
EXCERPT_CHARS = 4000
_PLURALS = {kind.plural: kind for kind in RepoType if kind is not RepoType.MODEL}


@dataclass(frozen=True, slots=True)
class Subject:
    """One reportable thing as it is now. `owner_id` is the person answerable for it, if there is one."""

    kind: str
    id: int
    owner_id: int | None
    title: str
    excerpt: str
    href: str
    repo: Repo | None = None
    thread: Thread | None = None
    comment: Comment | None = None

    @property
    def is_hidden(self) -> bool:
        if self.comment is not None:
            return self.comment.hidden_at is not None
        return self.thread is not None and self.thread.hidden_at is not None


def access_subject(db: Session, actor: Actor, kind: str, key: str) -> Subject:
    """The thing somebody points at, if they may see it.

    `key` is a comment's public id, a thread's id, a repository's id or path (`datasets/ada/words`),
    a person's name, or a collection's `owner/slug`. Raises NotFound.
    """
    if kind == REPO and "/" in key:
        return _of_repo(find_repo(db, actor, key))
    if kind == USER:
        return _of_user(access_user(db, actor, key))
    if kind == COLLECTION:
        owner, _, slug = key.partition("/")
        return _of_collection(access_collection(db, actor, owner, slug))
    found = _find(db, kind, _row_id(db, kind, key))
    if found is None or not _is_visible(db, actor, found):
        raise NotFound(lazy("What you want to report is not there, or not for you to see."))
    return found


def find_repo(db: Session, actor: Actor, path: str) -> Repo:
    """The repository with this path, if the actor may see it. Raises NotFound, RepoNotFound, RepoMoved."""
    parts = path.strip("/").split("/")
    kind = _PLURALS.get(parts[0], RepoType.MODEL) if len(parts) == 3 else RepoType.MODEL
    names = parts[1:] if len(parts) == 3 else parts
    if len(names) != 2 or not all(names) or "\0" in path or len(path) > 220:
        raise NotFound(lazy("There is no such repository that you can see."))
    return access_repo(db, actor, kind, names[0], names[1])


def access_for_judge(db: Session, actor: Actor, kind: str, key: str) -> Subject:
    """The thing with this key (as of `access_subject`), hidden or not; the caller checks who may judge it.

    What is in a private repository that the actor may not read is there only once it was reported.
    """
    if kind == USER:
        return _of_user(access_user(db, actor, key))
    found = None if kind == COLLECTION else _find(db, kind, _row_id(db, kind, key))
    if found is not None and found.repo is not None and not can_read(actor, found.repo):
        reported = select(Case.id).where(Case.subject_kind == kind, Case.subject_id == found.id).limit(1)
        found = found if db.scalar(reported) is not None else None
    if found is None:
        raise NotFound(lazy("There is nothing here that you may judge."))
    return found


def get_subject(db: Session, kind: str, subject_id: int) -> Subject | None:
    """The thing a case or measure is about, for those who keep order; None when it was deleted."""
    if kind == USER:
        user = db.get(User, subject_id)
        return _of_user(user) if user is not None else None
    if kind == COLLECTION:
        collection = db.get(Collection, subject_id)
        return _of_collection(collection) if collection is not None else None
    return _find(db, kind, subject_id)


def _row_id(db: Session, kind: str, key: str) -> int:
    if kind == COMMENT:
        return db.scalar(select(Comment.id).where(Comment.public_id == key.lower()[:24])) or 0
    return int(key) if key.isascii() and key.isdecimal() and len(key) < 10 else 0


def _find(db: Session, kind: str, subject_id: int) -> Subject | None:
    if kind == COMMENT:
        load = joinedload(Comment.thread).joinedload(Thread.repo)
        comment = db.get(Comment, subject_id, options=[load])
        return _of_comment(comment) if comment is not None else None
    if kind == THREAD:
        thread = db.get(Thread, subject_id, options=[joinedload(Thread.repo)])
        return _of_thread(db, thread) if thread is not None else None
    repo = db.get(Repo, subject_id) if kind == REPO else None
    return _of_repo(repo) if repo is not None else None


def _is_visible(db: Session, actor: Actor, subject: Subject) -> bool:
    if subject.thread is not None:
        return can_see(db, actor, subject.thread)
    return subject.repo is not None and can_read(actor, subject.repo)


def _of_comment(comment: Comment) -> Subject:
    thread = comment.thread
    return Subject(
        COMMENT,
        comment.id,
        comment.author_id,
        thread.title,
        comment.text[:EXCERPT_CHARS],
        thread_href(thread, comment),
        thread.repo,
        thread,
        comment,
    )


def _of_thread(db: Session, thread: Thread) -> Subject:
    first = db.get(Comment, thread.first_comment_id) if thread.first_comment_id else None
    text = first.text[:EXCERPT_CHARS] if first is not None else ""
    return Subject(
        THREAD, thread.id, thread.author_id, thread.title, text, thread_href(thread), thread.repo, thread
    )


def _of_repo(repo: Repo) -> Subject:
    owner = repo.created_by_id if repo.namespace.user is None else repo.namespace_id
    return Subject(REPO, repo.id, owner, repo.repo_name, "", repo_href(repo), repo)


def _of_user(user: User) -> Subject:
    namespace: Namespace = user.namespace
    return Subject(USER, user.id, user.id, user.name, namespace.details[:EXCERPT_CHARS], f"/{user.name}")


def _of_collection(collection: Collection) -> Subject:
    namespace = collection.namespace
    owner = collection.created_by_id if namespace.user is None else namespace.id
    text = collection.description
    href = f"/collections/{slug_of(collection)}"
    return Subject(COLLECTION, collection.id, owner, collection.title, text, href)
