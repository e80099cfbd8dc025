"""Names of commits: what a revision string means, and which names git accepts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

import pygit2
from pygit2.enums import ObjectType

from llmos.core.text import lazy
from llmos.infra.git.errors import InvalidRef, RevisionNotFound
from llmos.infra.git.process import run_git

BRANCH_PREFIX = "refs/heads/"
TAG_PREFIX = "refs/tags/"
PULL_PREFIX = "refs/pr/"
CONVERT_PREFIX = "refs/convert/"
MAX_NAME_BYTES = 240
_SHA = re.compile(r"[0-9a-f]{40}\Z")
_SHORT_SHA = re.compile(r"[0-9a-fA-F]{7,40}\Z")
_PULL = re.compile(r"refs/pr/[1-9][0-9]{0,9}\Z")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]|\.\.|@\{|//")


@dataclass(frozen=True, slots=True)
class Ref:
    """`name` is the part after the prefix, `ref` the full name, `target` the commit's id.

    `tag_oid` is the id of the tag object of an annotated tag, else None.
    """

    name: str
    ref: str
    target: str
    tag_oid: str | None = None


@dataclass(slots=True)
class RefList:
    branches: list[Ref] = field(default_factory=list)
    tags: list[Ref] = field(default_factory=list)
    pulls: list[Ref] = field(default_factory=list)
    converts: list[Ref] = field(default_factory=list)


@lru_cache(maxsize=4096)
def _is_refname(ref: str) -> bool:
    """The rules of `git check-ref-format`."""
    if _FORBIDDEN.search(ref) or ref.endswith(("/", ".")) or ref.startswith("/") or ref == "@":
        return False
    return all(not part.startswith(".") and not part.endswith(".lock") for part in ref.split("/"))


def _check_name(name: str, kind: str) -> str:
    if not name:
        raise InvalidRef(f"Invalid reference for a {kind}: the name is empty.")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise InvalidRef(f"Invalid reference for a {kind}: the name is longer than {MAX_NAME_BYTES} bytes.")
    shown = f"Invalid reference for a {kind}: {name!r}"
    if name.startswith(("-", "refs/")) or name in {"HEAD", "@"} or _SHA.match(name.lower()):
        raise InvalidRef(f"{shown} may not start with '-' or 'refs/', nor be HEAD, '@' or a commit id.")
    if not _is_refname(name):
        raise InvalidRef(
            f"{shown} may not contain spaces, control characters, '..', '//', '@{{' or any of "
            "~ ^ : ? * [ \\, nor parts that start with '.' or end in '.' or '.lock'."
        )
    return name


def check_branch_name(name: str) -> str:
    """Return `name` if it can be a branch; InvalidRef says which rule it breaks."""
    return _check_name(name, "branch")


def check_tag_name(name: str) -> str:
    """Return `name` if it can be a tag; InvalidRef says which rule it breaks."""
    return _check_name(name, "tag")


def check_ref(ref: str) -> str:
    """Return a full ref name (`refs/…`) that git accepts, else raise InvalidRef."""
    if not ref.startswith("refs/") or ref.count("/") < 2 or not _is_refname(ref):
        raise InvalidRef(f"Invalid reference {ref!r}: use a full name such as refs/heads/main.")
    if len(ref.encode()) > MAX_NAME_BYTES + len(CONVERT_PREFIX):
        raise InvalidRef("Invalid reference: the name is too long.")
    return ref


def _is_readable_ref(ref: str) -> bool:
    if _PULL.match(ref):
        return True
    return ref.startswith((BRANCH_PREFIX, TAG_PREFIX, CONVERT_PREFIX)) and _is_refname(ref)


def read_ref(git_repo: pygit2.Repository, ref: str) -> str | None:
    """The id a full ref name holds now (of the tag object for an annotated tag), or None."""
    try:
        return str(git_repo.lookup_reference(ref).resolve().target)
    except (KeyError, ValueError, pygit2.GitError):
        # Also when a part of the name is another ref: `main/x` while `main` exists.
        return None


def _peel(git_repo: pygit2.Repository, oid: str | pygit2.Oid) -> str | None:
    try:
        found = git_repo[oid]
        return str(found.peel(pygit2.Commit).id)
    except (KeyError, ValueError, pygit2.GitError):
        return None


def _resolve_ref(git_repo: pygit2.Repository, ref: str) -> str | None:
    target = read_ref(git_repo, ref)
    return None if target is None else _peel(git_repo, target)


def _resolve_sha(git_repo: pygit2.Repository, prefix: str) -> str | None:
    prefix = prefix.lower()
    if len(prefix) == 40:
        return _peel(git_repo, prefix)
    try:
        return _peel(git_repo, git_repo.expand_id(prefix))
    except KeyError:
        return None
    except ValueError:
        # Several objects share the prefix; a commit may still be the only commit among them.
        listed = run_git(git_repo.path, "rev-parse", f"--disambiguate={prefix}").stdout.split()
    commits = [oid for oid in listed if _type_of(git_repo, oid.decode()) == ObjectType.COMMIT]
    return commits[0].decode() if len(commits) == 1 else None


def _type_of(git_repo: pygit2.Repository, oid: str) -> int:
    return int(git_repo.odb.read_header(pygit2.Oid(hex=oid))[0])


def resolve(git_repo: pygit2.Repository, rev: str) -> str:
    """The id of the commit that `rev` names.

    Accepted: a branch, a tag (annotated ones are peeled), `HEAD`, `refs/heads/…`, `refs/tags/…`,
    `refs/pr/N`, `refs/convert/…`, a commit id, or 7 or more of its first hex characters if they
    name one commit only. A branch wins over a tag, and both over an id. Never a revision
    expression: anything with `^ ~ : .. @{` is RevisionNotFound, as is every unknown name.
    """
    commit = _find(git_repo, rev)
    if commit is None:
        raise RevisionNotFound(lazy("Invalid rev id: %(rev)s", rev=rev[:MAX_NAME_BYTES]))
    return commit


def _find(git_repo: pygit2.Repository, rev: str) -> str | None:
    if not rev or len(rev) > MAX_NAME_BYTES or rev.startswith("-") or not _is_refname(rev):
        return None
    if rev == "HEAD":
        return _resolve_ref(git_repo, "HEAD")
    if rev.startswith("refs/"):
        return _resolve_ref(git_repo, rev) if _is_readable_ref(rev) else None
    for prefix in (BRANCH_PREFIX, TAG_PREFIX):
        commit = _resolve_ref(git_repo, prefix + rev)
        if commit is not None:
            return commit
    return _resolve_sha(git_repo, rev) if _SHORT_SHA.match(rev) else None


def list_refs(git_repo: pygit2.Repository) -> RefList:
    """All branches, tags, pull request and conversion refs in name order, with their commits.

    Tags that do not lead to a commit and refs under other prefixes are left out.
    """
    found = RefList()
    groups = (
        (BRANCH_PREFIX, found.branches),
        (TAG_PREFIX, found.tags),
        (PULL_PREFIX, found.pulls),
        (CONVERT_PREFIX, found.converts),
    )
    for reference in git_repo.references.iterator():
        ref = reference.raw_name.decode("utf-8", "replace")
        for prefix, group in groups:
            if ref.startswith(prefix):
                target = str(reference.resolve().target)
                commit = _peel(git_repo, target) if prefix == TAG_PREFIX else target
                if commit is not None:
                    tag_oid = target if target != commit else None
                    group.append(Ref(ref.removeprefix(prefix), ref, commit, tag_oid))
    for group in (found.branches, found.tags, found.converts):
        group.sort(key=lambda item: item.name)
    found.pulls.sort(key=lambda item: (len(item.name), item.name))
    return found
