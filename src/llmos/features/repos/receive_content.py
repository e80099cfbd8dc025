"""What a push brings: sizes, file names, large-file pointers and the card, checked in quarantine."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import pygit2

from llmos.core.errors import BadRequest
from llmos.core.paths import check_file_path
from llmos.features.repos.cards.validate import validate_card
from llmos.features.repos.claims import get_claims, mark_used
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.push import RefUpdate
from llmos.infra.git.casing import fold_name
from llmos.infra.git.errors import GitFailed
from llmos.infra.git.pointers import MAX_POINTER_BYTES, parse_pointer
from llmos.infra.git.process import git_environment
from llmos.infra.git.repository import default_branch
from llmos.infra.git.revisions import BRANCH_PREFIX, PULL_PREFIX, read_ref
from llmos.infra.git.treedata import MODE_FILE, MODE_TREE, RawEntry, parse_tree
from llmos.infra.runtime import Runtime

CARD = "README.md"
MAX_MESSAGES = 20
_SCAN_TIMEOUT_S = 1800.0
_FORMAT = "--batch-check=%(objectname) %(objecttype) %(objectsize) %(rest)"


class NewObject(NamedTuple):
    """An object no ref reached before; `path` is one of the paths it appears under, if any."""

    oid: str
    kind: str
    size_bytes: int
    path: str


@dataclass(slots=True)
class _Findings:
    messages: list[str] = field(default_factory=list)
    pointers: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    trees: set[bytes] = field(default_factory=set)

    def add(self, message: str) -> None:
        if len(self.messages) < MAX_MESSAGES and message not in self.messages:
            self.messages.append(message)


def check_content_of_push(
    rt: Runtime,
    repo: Repo,
    git_repo: pygit2.Repository,
    updates: Sequence[RefUpdate],
    quarantine: Path | None,
) -> list[str]:
    """Reasons to refuse, as sentences for the person pushing; empty when all is well.

    `git_repo` sees the objects in quarantine, too.
    """
    tips = [update.new_oid for update in updates if update.new_oid is not None]
    if not tips:
        return []
    found = _Findings()
    limit_bytes = rt.settings.regular_file_limit_bytes
    with _new_objects(git_path(rt, repo), tips, quarantine) as objects:
        for item in objects:
            _check_object(git_repo, item, limit_bytes, found)
    _check_pointers(rt, repo, found)
    head = read_ref(git_repo, BRANCH_PREFIX + default_branch(git_repo))
    for update in updates:
        if update.new_oid is not None:
            _check_tip(git_repo, repo, update, update.old_oid or head, found)
    return found.messages


@contextmanager
def _new_objects(path: Path, tips: Sequence[str], quarantine: Path | None) -> Iterator[Iterator[NewObject]]:
    environment = git_environment()
    if quarantine is not None:
        environment["GIT_OBJECT_DIRECTORY"] = str(quarantine)
        environment["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(path / "objects")
    git = ["git", f"--git-dir={path}"]
    walk = subprocess.Popen(
        [*git, "rev-list", "--objects", "--stdin", "--not", "--all"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    describe = subprocess.Popen(
        [*git, "cat-file", _FORMAT],
        stdin=walk.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    assert walk.stdin is not None
    assert walk.stdout is not None
    assert describe.stdout is not None
    walk.stdout.close()
    # Without its source the second process ends, too.
    timer = threading.Timer(_SCAN_TIMEOUT_S, walk.kill)
    timer.start()
    try:
        with walk.stdin as stdin:
            stdin.write("".join(f"{tip}\n" for tip in tips).encode())
        yield _parse_objects(describe.stdout)
        if walk.wait() or describe.wait():
            raise GitFailed("The pushed objects could not be listed.")
    finally:
        timer.cancel()
        for process in (walk, describe):
            process.kill()
            process.wait()
        describe.stdout.close()


def _parse_objects(lines: IO[bytes]) -> Iterator[NewObject]:
    for line in lines:
        oid, kind, size, path = line.rstrip(b"\n").split(b" ", 3)
        yield NewObject(oid.decode(), kind.decode(), int(size), path.decode("utf-8", "replace"))


def _check_object(git_repo: pygit2.Repository, item: NewObject, limit_bytes: int, found: _Findings) -> None:
    if item.kind == "tree":
        found.trees.add(bytes.fromhex(item.oid))
        _check_names(_read_tree(git_repo, item.oid), item.path, found)
    elif item.kind == "blob":
        if item.size_bytes > limit_bytes:
            found.add(_too_large(item, limit_bytes))
        elif item.size_bytes <= MAX_POINTER_BYTES:
            pointer = parse_pointer(git_repo.odb.read(pygit2.Oid(hex=item.oid))[1])
            if pointer is not None:
                found.pointers.setdefault(pointer.oid, item.path)
                found.sizes[pointer.oid] = pointer.size


def _too_large(item: NewObject, limit_bytes: int) -> str:
    suffix = PurePosixPath(item.path).suffix
    pattern = f"*{suffix}" if suffix else item.path
    return (
        f"{item.path!r} is {item.size_bytes} bytes: files above {limit_bytes} bytes must be stored with "
        f'git-lfs. Run `git lfs track "{pattern}"`, then rewrite the commits that hold it: '
        f'`git lfs migrate import --include="{pattern}"`.'
    )


def _read_tree(git_repo: pygit2.Repository, oid: str) -> dict[bytes, RawEntry]:
    return parse_tree(git_repo.odb.read(pygit2.Oid(hex=oid))[1])


def _check_names(entries: dict[bytes, RawEntry], folder: str, found: _Findings) -> None:
    for raw in entries:
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            found.add(f"A file name in {folder or 'the root folder'!r} is not UTF-8: rename {raw!r}.")
            continue
        try:
            check_file_path(name)
        except BadRequest as error:
            found.add(f"In {folder or 'the root folder'!r}: {error.message}")


def _check_pointers(rt: Runtime, repo: Repo, found: _Findings) -> None:
    if not found.pointers:
        return
    mark_used(rt, repo.id, found.pointers)
    with rt.database.reading() as db:
        claims = get_claims(db, repo.id, found.pointers)
        sizes = {oid: claim.size_bytes for oid, claim in claims.items()}
    missing = [path for oid, path in found.pointers.items() if sizes.get(oid) != found.sizes[oid]]
    if missing:
        shown = ", ".join(repr(path) for path in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        found.add(
            f"The content of {shown}{more} was never uploaded: run `git lfs push --all origin`, "
            "then push again."
        )


def _check_tip(
    git_repo: pygit2.Repository, repo: Repo, update: RefUpdate, base: str | None, found: _Findings
) -> None:
    new_tree = _tree_oid(git_repo, update.new_oid)
    if new_tree is None:
        if update.ref.startswith((BRANCH_PREFIX, PULL_PREFIX)):
            found.add(f"{update.ref} must point to a commit.")
        return
    base_tree = _tree_oid(git_repo, base)
    _check_collisions(git_repo, new_tree, base_tree, found)
    if update.ref.startswith((BRANCH_PREFIX, PULL_PREFIX)):
        _check_card(git_repo, repo, new_tree, base_tree, found)


def _tree_oid(git_repo: pygit2.Repository, commit: str | None) -> str | None:
    if commit is None:
        return None
    try:
        return str(git_repo[commit].peel(pygit2.Commit).tree_id)
    except (KeyError, ValueError, pygit2.GitError):
        return None


def _check_collisions(
    git_repo: pygit2.Repository, new_tree: str, base_tree: str | None, found: _Findings
) -> None:
    """New names that differ from another only in case or Unicode form; old ones may stay."""
    stack: list[tuple[str, str, str | None]] = [("", new_tree, base_tree)]
    while stack:
        folder, new, base = stack.pop()
        if bytes.fromhex(new) not in found.trees:
            continue
        entries = _read_tree(git_repo, new)
        held = _read_tree(git_repo, base) if base else {}
        seen: dict[bytes, bytes] = {}
        for name in sorted(entries, key=lambda raw: (raw not in held, raw)):
            other = seen.setdefault(fold_name(name), name)
            if other != name and name not in held:
                found.add(
                    f"{_join(folder, name)!r} and {_join(folder, other)!r} differ only in case or Unicode "
                    "form and cannot exist together on every computer: rename one."
                )
            entry, old = entries[name], held.get(name)
            if entry.is_tree:
                below = old.oid.hex() if old is not None and old.mode == MODE_TREE else None
                stack.append((_join(folder, name), entry.oid.hex(), below))


def _join(folder: str, name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return f"{folder}/{text}" if folder else text


def _check_card(
    git_repo: pygit2.Repository, repo: Repo, new_tree: str, base_tree: str | None, found: _Findings
) -> None:
    card = _read_tree(git_repo, new_tree).get(CARD.encode())
    if card is None or card.mode & 0o170000 != MODE_FILE & 0o170000:
        return
    if base_tree is not None:
        held = _read_tree(git_repo, base_tree).get(CARD.encode())
        if held is not None and held.oid == card.oid:
            return
    report = validate_card(git_repo.odb.read(pygit2.Oid(raw=card.oid))[1], repo.type)
    if report.errors:
        lines = "".join(f"\n- {error}" for error in report.errors)
        found.add(f"Invalid metadata in {CARD}.{lines}")
