"""The files of a static Space for its frame: who may load them, which commit, what they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from sqlalchemy.orm import Session

from llmos.core.errors import EntryNotFound, Forbidden
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import ANONYMOUS, Actor
from llmos.features.accounts.models import User
from llmos.features.auth.credentials import actor_for_user
from llmos.features.repos.files import open_git, open_large_file
from llmos.features.repos.models import Repo, RepoFacts
from llmos.features.repos.policy import access_repo, check_content
from llmos.infra.git.trees import get_entry, read_blob
from llmos.infra.i18n import lazy
from llmos.infra.runtime import Runtime
from llmos.infra.web.files import Content
from llmos.infra.web.media import safe_media_type

STATIC = "static"
TICKET_TTL_S = 6 * 3600
_PURPOSE = "app"
_FIRST_FILE = "index.html"
_MAX_PATH_CHARS = 500
# What a page is made of, beside what everybody's files may be called.
_TYPES = {
    "html": "text/html; charset=utf-8",
    "htm": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "json": "application/json",
    "webmanifest": "application/manifest+json",
    "wasm": "application/wasm",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "ttf": "font/ttf",
    "otf": "font/otf",
}


@dataclass(frozen=True, slots=True)
class AppFile:
    content: Content
    media_type: str


def is_app(repo: Repo) -> bool:
    """Whether a repository is a Space whose files are its application."""
    return repo.repo_type is RepoType.SPACE and repo.sdk == STATIC


def app_file_of(db: Session, rt: Runtime, repo: Repo) -> str:
    """The file the application begins with, as its card says; empty where there is no such file."""
    facts = db.get(RepoFacts, repo.id)
    given = (facts.card if facts else {}).get("app_file")
    path = given.removeprefix("./") if isinstance(given, str) and given.strip() else _FIRST_FILE
    if repo.head_oid is None or not _is_plain(path):
        return ""
    entry = get_entry(open_git(rt, repo), repo.head_oid, path)
    return path if entry is not None and entry.type == "file" else ""


def sign_ticket(rt: Runtime, actor: Actor, repo: Repo, *, ttl_s: float = TICKET_TTL_S) -> str:
    """What the address of a frame carries: a frame without an origin sends no cookie.

    It opens one commit of one Space to one person, as long as they may read it.
    """
    payload = {"r": repo.id, "c": repo.head_oid, "u": actor.user_id or 0}
    return rt.signer.sign(_PURPOSE, payload, ttl_s=ttl_s)


def access_app_file(db: Session, rt: Runtime, ns: str, name: str, ticket: str, path: str) -> AppFile:
    """The file at `path` of the ticket's commit.

    Raises Forbidden for a ticket that is forged, too old or another Space's, what `access_repo` and
    `check_content` raise where the ticket's person may not read the Space any more, and EntryNotFound.
    """
    known = rt.signer.verify(_PURPOSE, ticket) if ticket.isascii() else None
    repo = db.get(Repo, known["r"]) if known else None
    if known is None or repo is None or repo.repo_name != f"{ns}/{name}" or not is_app(repo):
        raise Forbidden(lazy("This application is out of date: open the page of its Space again."))
    actor = _person(db, int(known["u"]))
    access_repo(db, actor, RepoType.SPACE, ns, name)
    check_content(db, actor, repo)
    return _read(db, rt, repo, str(known["c"]), path)


def _person(db: Session, user_id: int) -> Actor:
    user = db.get(User, user_id) if user_id else None
    if user is None or user.disabled_at is not None or user.is_sanctioned("ban"):
        return ANONYMOUS
    return actor_for_user(db, user)


def _read(db: Session, rt: Runtime, repo: Repo, commit: str, path: str) -> AppFile:
    wanted = path + _FIRST_FILE if not path or path.endswith("/") else path
    git_repo = open_git(rt, repo)
    entry = get_entry(git_repo, commit, wanted) if _is_plain(wanted) else None
    if entry is None or entry.type != "file":
        raise EntryNotFound(lazy("Entry not found: the application has no file %(path)r.", path=path))
    if entry.lfs is not None:
        content = open_large_file(db, rt, repo, entry.lfs.oid).content(rt)
    else:
        data = read_blob(git_repo, entry.oid)
        content = Content(len(data), entry.oid, data=data)
    return AppFile(content, media_type_of(wanted))


def media_type_of(path: str) -> str:
    """As what a browser is to take a file of an application; by its ending only."""
    ending = path.rpartition(".")[2].lower()
    return _TYPES.get(ending) or safe_media_type(path, is_text=ending in ("txt", "md", "csv", "tsv"))


def _is_plain(path: str) -> bool:
    """Whether a path goes down only; git knows no other, but addresses do."""
    parts = PurePosixPath(path).parts
    return 0 < len(path) <= _MAX_PATH_CHARS and "\0" not in path and path[0] != "/" and ".." not in parts
