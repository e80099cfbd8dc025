"""Access to gated repositories: ask, list, accept, reject, grant."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from llmos.core import clock
from llmos.core.errors import BadRequest, Forbidden, NotFound
from llmos.core.names import name_key
from llmos.core.pagination import Page, check_limit, decode_cursor, make_page
from llmos.features.accounts import audit
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, User
from llmos.features.repos.cards.validate import gated_fields
from llmos.features.repos.cursors import cursor_int
from llmos.features.repos.models import AccessRequest, Repo, RepoFacts
from llmos.features.repos.policy import check_admin, role_in
from llmos.infra.i18n import lazy
from llmos.infra.queue.outbox import emit

STATUSES = ("pending", "accepted", "rejected")
MAX_ANSWER_CHARS = 2_000
MAX_REASON_CHARS = 1_000


def _check_gated(repo: Repo) -> None:
    if not repo.gated:
        raise BadRequest(
            lazy("%(repo_name)s is not gated: everybody who sees it has access.", repo_name=repo.repo_name)
        )


def form_fields(db: Session, repo: Repo) -> dict[str, Any]:
    """The fields the card asks for: name -> type (or `{type, options}`)."""
    facts = db.get(RepoFacts, repo.id)
    return gated_fields(facts.card.get("extra_gated_fields")) if facts else {}


def get_request(db: Session, repo: Repo, user_id: int | None) -> AccessRequest | None:
    if user_id is None:
        return None
    statement = select(AccessRequest).where(
        AccessRequest.repo_id == repo.id, AccessRequest.user_id == user_id
    )
    return db.scalars(statement).unique().one_or_none()


def ask_access(db: Session, actor: Actor, repo: Repo, answers: dict[str, Any]) -> AccessRequest:
    """Ask for the content of a gated repository; `auto` gating grants at once.

    Asking again changes nothing. Raises BadRequest when the repository is not gated, a field of
    the form is missing or unknown, or the actor has access anyway; Forbidden after a rejection.
    """
    user_id = actor.require_user()
    _check_gated(repo)
    if role_in(actor, repo.namespace) is not None:
        raise BadRequest(lazy("You already have access to %(repo_name)s.", repo_name=repo.repo_name))
    known = get_request(db, repo, user_id)
    if known is not None:
        if known.status == "rejected":
            raise Forbidden(
                lazy(
                    "Your request for access to %(repo_name)s was rejected by its authors.",
                    repo_name=repo.repo_name,
                )
            )
        return known
    request = AccessRequest(
        repo_id=repo.id,
        user_id=user_id,
        status="accepted" if repo.gated == "auto" else "pending",
        fields=check_answers(form_fields(db, repo), answers),
        handled_at=clock.now() if repo.gated == "auto" else None,
    )
    db.add(request)
    db.flush()
    audit.record(db, actor, "access.ask", repo.key, status=request.status)
    emit(db, "AccessRequested", {"repo_id": repo.id, "user_id": user_id, "status": request.status})
    return request


def check_answers(fields: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """The answers to the form, complete; BadRequest names the field that is wrong."""
    unknown = set(answers) - set(fields)
    if unknown:
        raise BadRequest(lazy("fields: %(unknown)r is not a field of the form.", unknown=sorted(unknown)[0]))
    checked: dict[str, Any] = {}
    for name, kind in fields.items():
        answer = answers.get(name)
        kind_name = kind.get("type") if isinstance(kind, dict) else kind
        if kind_name == "checkbox":
            if answer not in (True, "on", "true"):
                raise BadRequest(lazy("fields: %(name)r must be ticked.", name=name))
            checked[name] = True
            continue
        if not isinstance(answer, str) or not answer.strip():
            raise BadRequest(lazy("fields: %(name)r is missing: please fill it in.", name=name))
        checked[name] = answer.strip()[:MAX_ANSWER_CHARS]
    return checked


def list_access_requests(
    db: Session,
    actor: Actor,
    repo: Repo,
    status: str,
    *,
    cursor: str | None = None,
    limit: int | None = None,
) -> Page[AccessRequest]:
    """Requests of one status, the latest first. Forbidden unless the actor may administer."""
    check_admin(actor, repo)
    _check_gated(repo)
    _check_status(status)
    size = check_limit(limit, default=100, maximum=1000)
    statement = (
        select(AccessRequest)
        .where(AccessRequest.repo_id == repo.id, AccessRequest.status == status)
        .order_by(AccessRequest.id.desc())
        .limit(size + 1)
    )
    after = decode_cursor(cursor, 1)
    if after:
        statement = statement.where(AccessRequest.id < cursor_int(after[0]))
    return make_page(list(db.scalars(statement).unique()), size, lambda item: [item.id])


def _check_status(status: Any) -> str:
    if status not in STATUSES:
        raise BadRequest(
            lazy(
                "status must be one of %(choices)s, not %(status)r.",
                choices=", ".join(STATUSES),
                status=status,
            )
        )
    return str(status)


def handle_access_request(
    db: Session,
    actor: Actor,
    repo: Repo,
    *,
    status: str,
    user_name: str | None = None,
    request_id: str | None = None,
    rejection_reason: str | None = None,
) -> AccessRequest:
    """Accept, reject or (with `pending`) take back a decision.

    Raises Forbidden unless the actor may administer, BadRequest when the repository is not
    gated, NotFound when there is no such request or it has this status already.
    """
    check_admin(actor, repo)
    _check_gated(repo)
    _check_status(status)
    if rejection_reason is not None and status != "rejected":
        raise BadRequest(lazy("rejectionReason is for status 'rejected' only: leave it out."))
    request = _find_request(db, repo, user_name, request_id)
    if request.status == status:
        raise NotFound(lazy("This access request is already in the %(status)s list.", status=status))
    request.status = status
    request.rejection_reason = (rejection_reason or "")[:MAX_REASON_CHARS] or None
    request.handled_at, request.handled_by_id = clock.now(), actor.user_id
    audit.record(db, actor, f"access.{status}", repo.key, user=request.user.name)
    payload = {"repo_id": repo.id, "user_id": request.user_id, "status": status}
    emit(db, "AccessHandled", payload | {"reason": request.rejection_reason})
    return request


def _find_request(db: Session, repo: Repo, user_name: str | None, request_id: str | None) -> AccessRequest:
    if (user_name is None) == (request_id is None):
        raise BadRequest(lazy("Give either 'user' or 'requestId'."))
    statement = select(AccessRequest).where(AccessRequest.repo_id == repo.id)
    if user_name is not None:
        statement = statement.where(AccessRequest.user_id == _access_user(db, user_name).id)
    else:
        statement = statement.where(AccessRequest.object_id == request_id)
    request = db.scalars(statement).unique().one_or_none()
    if request is None:
        raise NotFound(
            lazy(
                "There is no access request of %(user_name)r for %(repo_name)s.",
                user_name=user_name or request_id,
                repo_name=repo.repo_name,
            )
        )
    return request


def _access_user(db: Session, name: str) -> User:
    statement = select(User).join(Namespace, Namespace.id == User.id).where(
        Namespace.name_key == name_key(name)
    )  # fmt: skip
    user = db.scalars(statement).unique().one_or_none()
    if user is None:
        raise NotFound(lazy("There is no user called %(name)r.", name=name))
    return user


def grant_access(db: Session, actor: Actor, repo: Repo, user_name: str) -> AccessRequest:
    """Give a person access without their asking.

    Raises as `handle_access_request` does, and BadRequest when they have access already.
    """
    check_admin(actor, repo)
    _check_gated(repo)
    user = _access_user(db, user_name)
    request = get_request(db, repo, user.id)
    if request is not None and request.status == "accepted":
        raise BadRequest(
            lazy("%(name)s already has access to %(repo_name)s.", name=user.name, repo_name=repo.repo_name)
        )
    if request is None:
        request = AccessRequest(repo_id=repo.id, user_id=user.id, granted_by_owner=True)
        request.user = user
        db.add(request)
    request.status, request.rejection_reason = "accepted", None
    request.handled_at, request.handled_by_id = clock.now(), actor.user_id
    db.flush()
    audit.record(db, actor, "access.grant", repo.key, user=user.name)
    emit(db, "AccessHandled", {"repo_id": repo.id, "user_id": user.id, "status": "accepted"})
    return request
