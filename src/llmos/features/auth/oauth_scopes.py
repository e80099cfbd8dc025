"""What an app may ask for: the Hub's scope names, their words, and the verbs of ours they grant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llmos.core.text import LazyString
from llmos.infra.i18n import lazy


@dataclass(frozen=True)
class Scope:
    label: LazyString
    verbs: tuple[str, ...] = ()


_READ = ("repo.read",)
_WRITE = ("repo.read", "repo.write")

SCOPES: dict[str, Scope] = {
    "openid": Scope(lazy("Know who you are")),
    "profile": Scope(lazy("See your name, picture, website and organisations")),
    "email": Scope(lazy("See your e-mail address")),
    "read-orgs": Scope(lazy("See your role in your organisations")),
    "read-repos": Scope(lazy("Read all repositories you can see, also private ones"), _READ),
    "gated-repos": Scope(lazy("Read gated repositories you were given access to"), ("repo.read",)),
    "contribute-repos": Scope(lazy("Create repositories, and change those it created"), ("repo.create",)),
    "write-repos": Scope(lazy("Create repositories, and change the content of all of yours"), _WRITE),
    "manage-repos": Scope(
        lazy("Rename and delete repositories, and change their settings"), (*_WRITE, "repo.admin")
    ),
    "write-discussions": Scope(lazy("Take part in discussions as you"), ("discussion.write",)),
    "inference-api": Scope(lazy("Use models that are served, as you"), ("inference",)),
    "jobs": Scope(lazy("Run jobs as you"), ("job.write",)),
}

# What a sign-in by device code grants: everything the person may do.
FULL_SCOPE = "openid profile email read-repos write-repos manage-repos"


def parse_scopes(text: str) -> tuple[list[str], list[str]]:
    """The known scopes of a space-separated list in our order, and the unknown ones."""
    asked = dict.fromkeys(text.split())
    return [name for name in SCOPES if name in asked], [name for name in asked if name not in SCOPES]


def verbs_of(scopes: Iterable[str]) -> list[str]:
    return sorted({verb for name in scopes for verb in SCOPES[name].verbs})


def token_scopes_of(scopes: Iterable[str], targets: Sequence[str]) -> list[dict[str, Any]]:
    """The `scopes` of an access token: everywhere what was allowed, all in what the app created."""
    verbs = verbs_of(scopes)
    out: list[dict[str, Any]] = [{"target": "*", "verbs": verbs}] if verbs else []
    own = ["repo.read", "repo.write", "repo.admin"]
    return out + [{"target": target, "verbs": own} for target in targets]


def allows_claim(oauth_scopes: str | None, scope: str) -> bool:
    """Whether a token may be told what `scope` covers; tokens outside OAuth may be told everything."""
    return oauth_scopes is None or scope in oauth_scopes.split()
