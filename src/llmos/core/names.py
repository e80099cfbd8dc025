"""Names of people, organisations and repositories: one rule, used at every edge.

The character rule is the Hub client's own (`huggingface_hub` repo id validator): ASCII
letters, digits, `-`, `_`, `.`; no `--` or `..`; neither end is `-` or `.`; at most 96
characters for the name. Names are kept as typed and compared without case.
"""

from __future__ import annotations

import re

from llmos.core.errors import BadRequest
from llmos.core.text import lazy

MAX_NAMESPACE_CHARS = 42
MAX_REPO_NAME_CHARS = 96

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")

# Every first path segment that is, or may become, a route of ours; a namespace of that name
# would shadow it or be mistaken for an official page.
RESERVED_NAMESPACES = frozenset(
    """
    - .well-known about abuse account accounts admin administrator api app apps arena assets auth
    avatars benchmarks billing blog bucket buckets cas chat code code-of-conduct collections
    community competitions contact course courses dashboard dataset datasets datasets-server deploy
    device discussions docs documentation download downloads embed endpoint endpoints enterprise evals
    events explore favicon.ico feed feeds forum forums git guest health healthz help hf-inference home
    hub huggingface inference info invite invites issues jobs join kernel kernels labs leaderboard
    leaderboards learn learning legal lfs llmos login logout mail me metrics model models moderation
    moderator new new-dataset new-kernel new-model new-space new-tool none notifications null oauth
    official organization organizations orgs pages papers password playground policy posts pricing
    privacy profile projects public quickstart raw recipes register repos resolve resources robots.txt root
    runners search security service settings setup sign-in sign-out sign-up signin signout signup
    site sitemap.xml space spaces staff static status storage support system tasks team teams terms
    test tokens tool tools trending undefined upload uploads user users v1 v2 web webhooks webmaster
    welcome well-known which-model www xet
    """.split()
)


def name_key(name: str) -> str:
    """The form under which names are compared: `Ada` and `ada` are one name.

    A NUL, which PostgreSQL refuses even in a comparison, becomes a character no name has.
    """
    return name.lower().replace("\0", "\ufffd")


def _check(name: str, field: str, limit: int) -> str:
    if not name:
        raise BadRequest(
            lazy("%(field)s is empty: give a name of letters, digits, '-', '_' or '.'.", field=field)
        )
    if len(name) > limit:
        raise BadRequest(
            lazy(
                "%(field)s is too long: %(count)s characters, at most %(limit)s.",
                field=field,
                count=len(name),
                limit=limit,
            )
        )
    if not _NAME.fullmatch(name) or "--" in name or ".." in name:
        raise BadRequest(
            lazy(
                "%(field)s %(name)r is not a valid name: use letters, digits, '-', '_' and '.', "
                "without '--' or '..', and start and end with a letter or digit.",
                field=field,
                name=name,
            )
        )
    if name.lower().endswith(".git"):
        raise BadRequest(lazy("%(field)s may not end in '.git': git adds that ending itself.", field=field))
    return name


def check_namespace(name: str, *, field: str = "name", allow_reserved: bool = False) -> str:
    """Return `name` if a person or organisation may be called so; BadRequest otherwise."""
    _check(name, field, MAX_NAMESPACE_CHARS)
    if not allow_reserved and name_key(name) in RESERVED_NAMESPACES:
        raise BadRequest(
            lazy("%(field)s %(name)r is reserved: please choose another one.", field=field, name=name)
        )
    return name


def check_repo_name(name: str, *, field: str = "name") -> str:
    """Return `name` if a repository may be called so; BadRequest otherwise."""
    return _check(name, field, MAX_REPO_NAME_CHARS)


def split_repo_name(repo_name: str, *, field: str = "name") -> tuple[str, str]:
    """`"ada/tiny-llm"` -> `("ada", "tiny-llm")`, both checked; BadRequest otherwise."""
    namespace, slash, name = repo_name.partition("/")
    if not slash or "/" in name:
        raise BadRequest(
            lazy(
                "%(field)s must look like 'namespace/name', not %(repo_name)r.",
                field=field,
                repo_name=repo_name,
            )
        )
    check_namespace(namespace, field=field, allow_reserved=True)
    return namespace, check_repo_name(name, field=field)
