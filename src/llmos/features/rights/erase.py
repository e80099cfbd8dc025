"""Deleting an account: asked for, undone within the grace, done by the worker afterwards."""

from __future__ import annotations

import logging
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Conflict, LlmosError
from llmos.features.accounts.actor import OPERATOR, Actor
from llmos.features.accounts.audit import record
from llmos.features.accounts.models import Membership, Namespace, Organization, Role
from llmos.features.accounts.policy import access_namespace
from llmos.features.buckets.deletion import delete_bucket
from llmos.features.buckets.models import Bucket
from llmos.features.discussions.models import Comment, CommentVersion, Thread
from llmos.features.discussions.upload_gc import drop_uploads, list_uploads_of
from llmos.features.repos.lifecycle import delete_repo
from llmos.features.repos.models import Repo
from llmos.features.repos.moving import move_repo
from llmos.features.repos.naming import RepoExists
from llmos.features.repos.policy import role_in
from llmos.features.rights.models import AccountDeletion
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit
from llmos.infra.runtime import Runtime

log = logging.getLogger(__name__)

GRACE_DAYS = 7


def get_deletion(db: Session, actor: Actor) -> AccountDeletion | None:
    return db.get(AccountDeletion, actor.require_user())


def sole_admin_of(db: Session, user_id: int) -> list[str]:
    """Organisations that would be left without an admin."""
    admins = (
        select(Membership.org_id)
        .where(Membership.role == Role.ADMIN.value)
        .group_by(Membership.org_id)
        .having(func.count() == 1)
    )
    statement = (
        select(Namespace.name)
        .join(Organization, Organization.id == Namespace.id)
        .join(Membership, Membership.org_id == Organization.id)
        .where(
            Membership.user_id == user_id,
            Membership.role == Role.ADMIN.value,
            Organization.id.in_(admins),
        )
        .order_by(Namespace.name_key)
    )
    return list(db.scalars(statement))


def request_deletion(
    db: Session, actor: Actor, *, typed_name: str, removes_posts: bool, heir: str = ""
) -> AccountDeletion:
    """Delete the account in GRACE_DAYS. `heir` receives the repositories: an organisation of the actor's.

    Raises BadRequest for a wrong name or heir, Conflict for the only admin of an organisation.
    """
    actor.check_account_write()
    user_id = actor.require_user()
    if typed_name != actor.name:
        raise BadRequest(lazy("Type your user name, %(name)s, to confirm.", name=actor.name))
    left = sole_admin_of(db, user_id)
    if left:
        raise Conflict(
            lazy("You are the only admin of %(names)s: name another one first.", names=", ".join(left))
        )
    heir_id = _heir_id(db, actor, heir) if heir else None
    deletion = db.get(AccountDeletion, user_id) or AccountDeletion(user_id=user_id)
    deletion.requested_at = clock.now()
    deletion.due_at = clock.now() + timedelta(days=GRACE_DAYS)
    deletion.removes_posts, deletion.heir_id, deletion.hands_over = removes_posts, heir_id, bool(heir)
    db.add(deletion)
    record(db, actor, "account.delete", actor.name, removes_posts=removes_posts, heir=heir)
    db.flush()
    return deletion


def _heir_id(db: Session, actor: Actor, heir: str) -> int:
    namespace = access_namespace(db, actor, heir)
    role = role_in(actor, namespace)
    if namespace.organization is None or role is None or role.rank < Role.WRITE.rank:
        raise BadRequest(lazy("Repositories can go to an organisation where you may write."))
    return namespace.id


def undo_deletion(db: Session, actor: Actor) -> None:
    """Keep the account; nothing happens if it was not going to be deleted."""
    actor.check_account_write()
    db.execute(delete(AccountDeletion).where(AccountDeletion.user_id == actor.require_user()))
    record(db, actor, "account.keep", actor.name)


def erase_due(rt: Runtime) -> None:
    """Worker task: delete the accounts whose grace is over, each in a transaction of its own."""
    with rt.database.reading() as db:
        statement = select(AccountDeletion.user_id).where(AccountDeletion.due_at <= clock.now())
        due = list(db.scalars(statement))
    for user_id in due:
        with rt.database.reading() as db:
            uploads = list_uploads_of(db, user_id)
        try:
            with rt.database.writing() as db:
                erase(db, db.get_one(AccountDeletion, user_id))
        except LlmosError as error:
            log.warning("account %s was not deleted: %s", user_id, error.message)
            continue
        drop_uploads(rt, uploads)


def erase(db: Session, deletion: AccountDeletion) -> None:
    """Delete the account now. Posts stay without a name, or lose their text, as was chosen.

    An heir that is gone by now leaves the deletion undone: repositories are never deleted unasked.
    """
    user_id = deletion.user_id
    namespace = db.get_one(Namespace, user_id)
    if deletion.hands_over and deletion.heir_id is None:
        raise Conflict(f"{namespace.name} wanted their repositories to go to somebody who is gone.")
    heir = db.get(Namespace, deletion.heir_id) if deletion.heir_id else None
    # In the owner's name, yet whatever their role in the heir is by now.
    owner = Actor(user_id=user_id, name=namespace.name, is_admin=True)
    for repo in list(db.scalars(select(Repo).where(Repo.namespace_id == user_id)).unique()):
        if heir is None:
            delete_repo(db, owner, repo)
        else:
            _hand_over(db, owner, repo, heir)
    for bucket in list(db.scalars(select(Bucket).where(Bucket.namespace_id == user_id)).unique()):
        delete_bucket(db, owner, bucket)
    if deletion.removes_posts:
        _remove_posts(db, user_id)
    record(db, OPERATOR, "account.deleted", f"user:{namespace.object_id}")
    db.flush()
    db.expunge_all()
    db.execute(delete(Namespace).where(Namespace.id == user_id))


def _hand_over(db: Session, owner: Actor, repo: Repo, heir: Namespace) -> None:
    try:
        move_repo(db, owner, repo, f"{heir.name}/{repo.name}")
    except RepoExists:
        move_repo(db, owner, repo, f"{heir.name}/{repo.name[:60]}-of-{owner.name[:30]}")


def _remove_posts(db: Session, user_id: int) -> None:
    """Texts, earlier texts and titles go; the replies of others keep their place."""
    mine = select(Comment.id).where(Comment.author_id == user_id)
    db.execute(delete(CommentVersion).where(CommentVersion.comment_id.in_(mine)))
    for comment_id, thread_id in db.execute(
        select(Comment.id, Comment.thread_id).where(Comment.author_id == user_id)
    ):
        payload = {"thread_id": thread_id, "comment_id": comment_id, "actor_id": None}
        emit(db, "CommentHidden", payload)
    db.execute(
        update(Comment)
        .where(Comment.author_id == user_id)
        .values(text="", hidden_at=clock.now(), hidden_reason="account deleted")
    )
    db.execute(update(Thread).where(Thread.author_id == user_id).values(title="…"))
