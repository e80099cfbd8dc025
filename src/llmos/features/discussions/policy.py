"""Who may see, write in, and keep order in threads. `access_thread` is the only door to one."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from llmos.core.errors import Forbidden, NotFound
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Role
from llmos.features.discussions.forum_trust import WIKI_LEVEL, level_of
from llmos.features.discussions.models import (
    PULL_REQUEST,
    TOPIC,
    Category,
    Comment,
    RepoThreadRules,
    Thread,
)
from llmos.features.repos.models import Repo
from llmos.features.repos.policy import can_read, can_write, refuse, role_in
from llmos.infra.i18n import lazy

# Filled by `moderation`: each says why this person may not write here now (banned, suspended,
# blocked by the repository, too new), or None. The place is a thread, or where one would open.
Place = Thread | Repo | Category
blocked: list[Callable[[Session, Actor, Place], str | None]] = []
# Filled by `moderation`: each says why this text may not be posted there by this person (too many
# links of a newcomer, too much at once, the same text again), or None. `is_new` is False for edits.
screens: list[Callable[[Session, Actor, Place, str, bool], str | None]] = []
# Filled by features above: whether this person keeps order in the forum beside the admins.
forum_keepers: list[Callable[[Session, Actor, Thread], bool]] = []


_RULES = "discussions.rules"


def _allows(actor: Actor, repo: Repo | None) -> bool:
    """Whether the credential may write in discussions; `repo` None: of the forum."""
    if repo is None:
        return actor.allows("discussion.write", "*")
    return actor.allows("discussion.write", repo.namespace.name, repo.key)


def _is_keeper_of(actor: Actor, repo: Repo) -> bool:
    role = role_in(actor, repo.namespace)
    if role is None:
        return False
    if role is Role.CONTRIBUTOR:
        return repo.created_by_id == actor.user_id
    return role.rank >= Role.WRITE.rank


def can_moderate(db: Session, actor: Actor, thread: Thread) -> bool:
    """May hide, lock, pin, rename and close what others wrote: those who write to the repository,
    in the forum the instance's admins and whom `forum_keepers` names."""
    if actor.is_anonymous or not _allows(actor, thread.repo):
        return False
    if actor.is_admin:
        return True
    if thread.repo is not None:
        return _is_keeper_of(actor, thread.repo)
    return any(is_keeper(db, actor, thread) for is_keeper in forum_keepers)


def can_see(db: Session, actor: Actor, thread: Thread) -> bool:
    """Readers of the repository; a hidden thread only its author and those who keep order."""
    if thread.repo is not None and not can_read(actor, thread.repo):
        return False
    if thread.hidden_at is None:
        return True
    is_author = actor.user_id is not None and thread.author_id == actor.user_id
    return is_author or can_moderate(db, actor, thread)


def thread_not_found(num: int) -> NotFound:
    return NotFound(lazy("There is no thread #%(num)s here that you can see.", num=num))


def access_thread(db: Session, actor: Actor, repo: Repo, num: int) -> Thread:
    """The discussion or pull request with this number of a repository the actor may read."""
    statement = (
        select(Thread, RepoThreadRules)
        .outerjoin(RepoThreadRules, RepoThreadRules.repo_id == Thread.repo_id)
        .where(Thread.repo_id == repo.id, Thread.num == num)
        .options(joinedload(Thread.pull), joinedload(Thread.repo))
    )
    row = db.execute(statement).unique().one_or_none() if 0 < num < 2**31 else None
    if row is None or not can_see(db, actor, row[0]):
        raise thread_not_found(num)
    thread: Thread = row[0]
    # So that no later question of this session asks for them again.
    db.info[_RULES, repo.id] = row[1] or _default_rules(repo.id)
    return thread


def access_topic(db: Session, actor: Actor, num: int) -> Thread:
    """The topic of the forum with this number."""
    thread = db.get(Thread, num) if 0 < num < 2**31 else None
    if thread is None or thread.kind != TOPIC or not can_see(db, actor, thread):
        raise thread_not_found(num)
    return thread


def access_comment(
    db: Session, actor: Actor, thread: Thread, public_id: str, *, for_update: bool = False
) -> Comment:
    """The comment of this thread with this public id, in any case of its letters."""
    statement = select(Comment).where(
        Comment.thread_id == thread.id, Comment.public_id == public_id.lower()[:24]
    )
    if for_update:
        statement = statement.with_for_update(of=Comment).execution_options(populate_existing=True)
    comment = db.scalars(statement).unique().one_or_none() if public_id.isalnum() else None
    if comment is None:
        raise NotFound(lazy("There is no comment %(id)s in this thread.", id=public_id[:24]))
    return comment


def _check_not_blocked(db: Session, actor: Actor, place: Place) -> None:
    for reason_of in blocked:
        reason = reason_of(db, actor, place)
        if reason is not None:
            raise Forbidden(reason, code="Blocked")


def screen_text(db: Session, actor: Actor, place: Place, text: str, *, is_new: bool = True) -> None:
    """Forbidden when a filter for spam refuses the text."""
    for reason_of in screens:
        reason = reason_of(db, actor, place, text, is_new)
        if reason is not None:
            raise Forbidden(reason, code="Screened")


def _check_credential(actor: Actor, repo: Repo | None) -> None:
    actor.require_user()
    actor.check_not_suspended()
    if not _allows(actor, repo):
        raise Forbidden(
            lazy("This token may not write in discussions: use one with the 'write' role or with the "
                 "permission to write in discussions.")
        )  # fmt: skip


def get_rules(db: Session, repo_id: int) -> RepoThreadRules:
    """The settings of a repository's community tab; the defaults where none were made."""
    known: RepoThreadRules | None = db.info.get((_RULES, repo_id))
    return known or db.get(RepoThreadRules, repo_id) or _default_rules(repo_id)


def _default_rules(repo_id: int) -> RepoThreadRules:
    return RepoThreadRules(
        repo_id=repo_id, are_discussions_disabled=False, required_approvals=0, required_checks=[]
    )


def check_can_open(db: Session, actor: Actor, repo: Repo) -> None:
    """Anyone signed in who may read the repository, unless its discussions are switched off."""
    _check_credential(actor, repo)
    if repo.disabled:
        raise Forbidden(lazy("Access to this resource is disabled."))
    if get_rules(db, repo.id).are_discussions_disabled:
        raise Forbidden(
            lazy("Discussions and pull requests are switched off in %(repo)s.", repo=repo.repo_name)
        )
    _check_not_blocked(db, actor, repo)


def check_can_open_topic(db: Session, actor: Actor, category: Category) -> None:
    """Anyone signed in; announcements only by admins and those who keep order."""
    _check_credential(actor, None)
    if category.is_archived:
        raise Forbidden(lazy("This category is archived: choose another one."))
    if category.format == "announcement" and not actor.is_admin:
        probe = Thread(kind=TOPIC, category_id=category.id)
        if not any(is_keeper(db, actor, probe) for is_keeper in forum_keepers):
            raise Forbidden(lazy("Only the team of this site opens topics in this category."))
    _check_not_blocked(db, actor, category)


def check_can_comment(db: Session, actor: Actor, thread: Thread) -> None:
    """Anyone signed in who may see the thread; in a locked one only those who keep order."""
    _check_credential(actor, thread.repo)
    if thread.repo is not None and thread.repo.disabled:
        raise Forbidden(lazy("Access to this resource is disabled."))
    if can_moderate(db, actor, thread):
        return
    if thread.is_locked:
        raise Forbidden(lazy("This thread is locked: only maintainers may write in it."), code="Locked")
    if thread.repo_id is not None and get_rules(db, thread.repo_id).are_discussions_disabled:
        raise Forbidden(lazy("Discussions and pull requests are switched off in this repository."))
    _check_not_blocked(db, actor, thread)


def can_edit(db: Session, actor: Actor, thread: Thread, comment: Comment) -> bool:
    """Authors edit what they wrote; members (trust level 1) the first post of a wiki topic."""
    if actor.user_id is None:
        return False
    if comment.author_id == actor.user_id:
        return True
    if not thread.is_wiki or comment.id != thread.first_comment_id:
        return False
    return level_of(db, actor) >= WIKI_LEVEL or can_moderate(db, actor, thread)


def check_can_moderate(db: Session, actor: Actor, thread: Thread) -> None:
    _check_credential(actor, thread.repo)
    if not can_moderate(db, actor, thread):
        refuse(actor, lazy("Only maintainers may do this in this thread."))


def check_can_manage(db: Session, actor: Actor, thread: Thread) -> None:
    """Title and status: the thread's author, and those who keep order."""
    _check_credential(actor, thread.repo)
    if can_moderate(db, actor, thread):
        return
    if thread.author_id != actor.user_id:
        refuse(actor, lazy("Only the author of this thread and maintainers may do this."))
    if thread.is_locked:
        raise Forbidden(lazy("This thread is locked: only maintainers may change it."), code="Locked")
    _check_not_blocked(db, actor, thread)


def can_merge(actor: Actor, thread: Thread) -> bool:
    """May merge this pull request: whoever may write to the repository."""
    return thread.kind == PULL_REQUEST and thread.repo is not None and can_write(actor, thread.repo)
