"""Which branches beside the default one are protected, kept by a repository's admins."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core.errors import BadRequest, NotFound
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.repos.models import BranchRule, Repo
from llmos.features.repos.policy import check_admin
from llmos.infra.i18n import lazy

MAX_RULES = 50
MAX_CHARS = 200


def list_branch_rules(db: Session, repo: Repo) -> Sequence[str]:
    """The patterns, sorted: names of branches, or with `*`, `?`, `[abc]`."""
    statement = select(BranchRule.pattern).where(BranchRule.repo_id == repo.id)
    return db.scalars(statement.order_by(BranchRule.pattern)).all()


def create_branch_rule(db: Session, actor: Actor, repo: Repo, pattern: str) -> None:
    """Protect branches from forced pushes and deletion; one that is protected already stays so.

    Raises Forbidden unless the actor may administer the repository, BadRequest for a pattern no
    branch can match and past MAX_RULES.
    """
    check_admin(actor, repo)
    pattern = pattern.strip().removeprefix("refs/heads/")
    if not pattern or len(pattern) > MAX_CHARS or not pattern.isprintable() or " " in pattern:
        raise BadRequest(
            lazy(
                "A pattern has 1 to %(count)s characters and no spaces: the name of a branch, or release/*.",
                count=MAX_CHARS,
            ),
            data={"field": "pattern"},
        )
    rules = list_branch_rules(db, repo)
    if pattern in rules:
        return
    if len(rules) >= MAX_RULES:
        raise BadRequest(
            lazy("At most %(count)s patterns: combine some by release/*.", count=MAX_RULES),
            data={"field": "pattern"},
        )
    db.add(BranchRule(repo_id=repo.id, pattern=pattern))
    audit.record(db, actor, "repo.protect", repo.key, pattern=pattern)


def delete_branch_rule(db: Session, actor: Actor, repo: Repo, pattern: str) -> None:
    """Protect these branches no longer. Raises Forbidden, NotFound."""
    check_admin(actor, repo)
    row = db.get(BranchRule, (repo.id, pattern))
    if row is None:
        raise NotFound(lazy("There is no such pattern."))
    db.delete(row)
    audit.record(db, actor, "repo.unprotect", repo.key, pattern=pattern)
