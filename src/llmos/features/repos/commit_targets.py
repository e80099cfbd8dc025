"""Where a commit may go and in whose name: resolved and authorised before content is read."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Forbidden, RevisionNotFound
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.policy import access_repo, check_content, check_write
from llmos.features.repos.push import can_push_pull
from llmos.infra.git.identity import Identity
from llmos.infra.git.repository import default_branch, is_empty, open_private
from llmos.infra.git.revisions import (
    BRANCH_PREFIX,
    CONVERT_PREFIX,
    PULL_PREFIX,
    check_branch_name,
    read_ref,
)
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime


@dataclass(frozen=True, slots=True)
class CommitTarget:
    """A place to commit to, access checked: `head` is None in a repository without commits."""

    repo_id: int
    repo_type: RepoType
    repo_name: str
    object_id: str
    ref: str
    head: str | None
    create_pr: bool


def writable_ref(rev: str) -> str:
    """The full name of the ref that commits to `rev` go to; RevisionNotFound if there is none."""
    if rev.startswith((BRANCH_PREFIX, PULL_PREFIX, CONVERT_PREFIX)):
        return rev
    try:
        return BRANCH_PREFIX + check_branch_name(rev)
    except BadRequest as error:
        raise RevisionNotFound(
            lazy("Invalid rev id: %(rev)s: commit to a branch or pull request.", rev=rev[:200])
        ) from error


def check_commit_access(db: Session, actor: Actor, repo: Repo, ref: str, *, create_pr: bool) -> None:
    """Writers may commit anywhere, readers open pull requests and add to their own."""
    actor.require_user()
    check_content(db, actor, repo)
    number = ref.removeprefix(PULL_PREFIX)
    is_own_pull = ref.startswith(PULL_PREFIX) and number.isdecimal() and int(number) < 2**31
    if create_pr or (is_own_pull and can_push_pull(db, actor, repo, int(number))):
        names = (repo.namespace.name, repo.key)
        if actor.allows("discussion.write", *names) or actor.allows("repo.write", *names):
            return
        raise Forbidden(lazy("This token is read-only: use one with the 'write' role."))
    check_write(actor, repo)


def open_target(
    db: Session,
    rt: Runtime,
    actor: Actor,
    repo_type: RepoType,
    namespace: str,
    name: str,
    rev: str,
    *,
    create_pr: bool = False,
) -> CommitTarget:
    """Resolve and authorise before the first byte of content is read.

    Raises what `access_repo` and `check_commit_access` raise, and RevisionNotFound unless `rev`
    is an existing branch or pull request, or the default branch of an empty repository.
    """
    repo = access_repo(db, actor, repo_type, namespace, name)
    if repo.disabled:
        raise Forbidden(lazy("Access to this resource is disabled."))
    ref = writable_ref(rev)
    check_commit_access(db, actor, repo, ref, create_pr=create_pr)
    git_repo = open_private(git_path(rt, repo))
    head = read_ref(git_repo, ref)
    if head is None:
        is_first = ref == BRANCH_PREFIX + default_branch(git_repo) and is_empty(git_repo) and not create_pr
        if not is_first:
            raise RevisionNotFound(lazy("Invalid rev id: %(rev)s", rev=rev[:200]))
    return CommitTarget(repo.id, repo.repo_type, repo.repo_name, repo.object_id, ref, head, create_pr)


def author_identity(rt: Runtime, actor: Actor) -> Identity:
    """The actor as git names them, now; never with their real e-mail, since history is public."""
    return Identity(actor.name, f"{actor.name}@users.noreply.{_host(rt)}", clock.now())


def site_identity(rt: Runtime) -> Identity:
    """The instance itself, the committer of what the API writes."""
    return Identity(rt.settings.site_name, f"noreply@{_host(rt)}", clock.now())


def _host(rt: Runtime) -> str:
    url = rt.settings.public_url or ""
    return url.split("://")[-1].split("/")[0].split(":")[0] or "localhost"
