"""Who is asking: the first argument of every service and policy."""

from __future__ import annotations

from dataclasses import dataclass, field

from llmos.core.errors import Forbidden, Unauthenticated
from llmos.infra.i18n import lazy


@dataclass(frozen=True, slots=True)
class TokenScope:
    """One grant of a fine-grained token: verbs on one repository or on one namespace.

    `target` is `"namespace"`, or `"type:namespace/name"`, or `"*"`, all in lower case.
    """

    target: str
    # Of: repo.read, repo.write, repo.admin, repo.create (of apps), discussion.write, job.write, inference.
    verbs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, seen through the credential they presented; anonymous when `user_id` is None.

    `roles` maps the id of each organisation to the member's role. A token narrows what the
    person may do: `token_role` is `read`, `write` or `fineGrained` (then `scopes` decide); it is
    None for a browser session and for the command line, which may do all the person may.
    """

    user_id: int | None = None
    name: str = ""
    fullname: str = ""
    email: str | None = None
    is_admin: bool = False
    roles: dict[int, str] = field(default_factory=dict)
    token_role: str | None = None
    token_name: str | None = None
    token_id: int | None = None
    session_id: int | None = None
    scopes: tuple[TokenScope, ...] = ()
    ip: str | None = None
    locale: str | None = None
    theme: str | None = None
    avatar_url: str | None = None
    # A suspended person reads, appeals and exports, and does nothing else.
    is_suspended: bool = False
    # Warned by a moderator, and has not said yet that they have read it.
    is_warned: bool = False

    @property
    def is_anonymous(self) -> bool:
        return self.user_id is None and not self.is_operator

    @property
    def is_operator(self) -> bool:
        """Whether this is the command line of the instance's own machine."""
        return self.user_id is None and self.is_admin

    def require_user(self) -> int:
        """The user id; Unauthenticated for a visitor who is not signed in."""
        if self.user_id is None:
            raise Unauthenticated(lazy("Sign in, or send an access token, to do this."))
        return self.user_id

    def allows(self, verb: str, namespace: str, repo_key: str | None = None) -> bool:
        """Whether the credential itself permits `verb`; says nothing about roles.

        `repo_key` is `"type:namespace/name"`. A read token allows only `repo.read`, and so does
        any credential of a suspended person.
        """
        if self.is_suspended:
            return verb == "repo.read" and self._permits(verb, namespace, repo_key)
        return self._permits(verb, namespace, repo_key)

    def _permits(self, verb: str, namespace: str, repo_key: str | None) -> bool:
        if self.token_role is None or self.token_role == "write":
            return True
        if self.token_role == "read":
            return verb in {"repo.read", "inference"}
        wanted = {"*", namespace.lower(), (repo_key or "").lower()}
        return any(verb in scope.verbs for scope in self.scopes if scope.target in wanted)

    def check_not_suspended(self) -> None:
        """Refuse people who were suspended; where they learn why and until when is said."""
        if self.is_suspended:
            raise Forbidden(
                lazy("Your account is suspended: /moderation/standing says why, and takes your appeal."),
                code="Suspended",
            )

    def check_account_write(self) -> None:
        """Refuse credentials too narrow to change the account itself (settings, tokens, orgs)."""
        if self.is_operator:
            return
        self.require_user()
        self.check_not_suspended()
        self.check_whole_token()

    def check_whole_token(self) -> None:
        """Refuse narrow tokens, yet no suspended people: for what they keep the right to."""
        self.require_user()
        if self.token_role not in (None, "write"):
            raise Forbidden(lazy("This needs a token with the 'write' role; yours is narrower."))


ANONYMOUS = Actor()

# Whoever can read the instance's folder may do everything; the audit trail names them so.
OPERATOR = Actor(name="operator", is_admin=True)
