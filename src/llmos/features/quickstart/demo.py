"""Content that comes with LLMOS, so that no page of a new instance is empty.

The worker makes it after the first start, as repositories of the organisation `llmos` and a topic of the
forum; what somebody deletes stays deleted. `LLMOS_DEMO=0` starts bare.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

import llmos
from llmos.core.ids import new_object_id
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace
from llmos.features.discussions.categories import ensure_categories
from llmos.features.discussions.models import TOPIC, Category, Thread
from llmos.features.discussions.threads import insert_thread
from llmos.features.evals.shipped import OWNER, ensure_owner, ship_benchmarks
from llmos.features.quickstart.welcome import TEXT, TITLE
from llmos.features.repos.cards.attributes import default_gitattributes, is_lfs_path
from llmos.features.repos.commit_targets import author_identity, site_identity
from llmos.features.repos.lifecycle import add_repo_row
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.seeds import first_files, init_git
from llmos.features.storage.objects import put_lfs_object
from llmos.infra.git.pointers import format_pointer
from llmos.infra.runtime import Runtime

ACTOR = Actor(name=OWNER, is_admin=True)
# Names of what was made once, so that nothing comes back that was deleted.
_DONE_FILE = "shipped-demo.txt"
_KINDS = {"models": RepoType.MODEL, "datasets": RepoType.DATASET, "spaces": RepoType.SPACE}
# What every application of ours holds: how to talk to the page around it, and its looks.
_APP_KIT = "app-kit"
# Data sets whose rows lie among the samples already.
_SAMPLES = {
    "english-speeches": "english.txt",
    "tang-poems": "chinese.txt",
    "poem-chats": "chat.jsonl",
    "interface-pairs": "pairs.jsonl",
    "speech-ages": "centuries.jsonl",
}


def demo_folder() -> Path:
    return Path(llmos.__path__[0]) / "lab" / "samples" / "demo"


def ship_all(rt: Runtime) -> int:
    """Benchmarks first, as results name them; how many things were made. For the worker."""
    return ship_benchmarks(rt) + ship_demo(rt)


def ship_demo(rt: Runtime, folder: Path | None = None) -> int:
    """Make what was never made here; how many. Does nothing where settings.demo is off."""
    source = folder or demo_folder()
    if not rt.settings.demo or not source.is_dir():
        return 0
    done_file = rt.settings.home / _DONE_FILE
    done = set(done_file.read_text(encoding="utf-8").split()) if done_file.exists() else set()
    made = 0
    for key, make in _list_things(rt, source):
        if key in done:
            continue
        made += make()
        with done_file.open("a", encoding="utf-8") as out:
            out.write(f"{key}\n")
    return made


def _list_things(rt: Runtime, source: Path) -> list[tuple[str, Callable[[], bool]]]:
    found: list[tuple[str, Callable[[], bool]]] = []
    for kind_name, kind in _KINDS.items():
        for path in sorted((source / kind_name).glob("*/README.md")):
            folder = path.parent
            key = f"{kind_name}/{folder.name}"
            found.append((key, partial(_make_folder, rt, kind, folder)))
    found.append(("forum/welcome", partial(_open_welcome, rt)))
    return found


def _make_folder(rt: Runtime, kind: RepoType, folder: Path) -> bool:
    return make_repo(rt, kind, folder.name, demo_files(folder))


def demo_files(folder: Path) -> dict[str, bytes]:
    """All files of the repository that a folder of the demo content becomes."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    if folder.parent.name == "datasets" and folder.name in _SAMPLES:
        sample = folder.parents[2] / _SAMPLES[folder.name]
        files[f"data/train{sample.suffix}"] = sample.read_bytes()
    return files | _app_kit(folder) if folder.parent.name == "spaces" else files


def _app_kit(folder: Path) -> dict[str, bytes]:
    """What an application holds beside its own files: a copy each, so that a fork is whole."""
    kit = folder.parents[1] / _APP_KIT
    return {path.name: path.read_bytes() for path in sorted(kit.iterdir())}


def make_repo(rt: Runtime, kind: RepoType, name: str, files: Mapping[str, bytes | Path]) -> bool:
    """A public repository of `llmos` with one commit; False where there is one of that name."""
    with rt.database.reading() as db:
        owner = db.scalars(select(Namespace).where(Namespace.name_key == OWNER)).unique().one_or_none()
        if owner is not None and _is_taken(db, owner, kind, name):
            return False
    content, claims = _store_large(rt, kind, files)
    sdk = "static" if kind is RepoType.SPACE else None
    repo = Repo(object_id=new_object_id(), type=kind.value, visibility="public", sdk=sdk)
    first = first_files(kind, name=name, license_id=None, sdk=sdk, files=content)
    init_git(git_path(rt, repo), author_identity(rt, ACTOR), site_identity(rt), first)
    with rt.database.writing() as db:
        add_repo_row(db, ACTOR, rt, repo, namespace_id=ensure_owner(db).id, name=name, claims=claims)
    return True


def _is_taken(db: Session, owner: Namespace, kind: RepoType, name: str) -> bool:
    statement = select(Repo.id).where(
        Repo.namespace_id == owner.id, Repo.type == kind.value, Repo.name_key == name.lower()
    )
    return db.scalar(statement) is not None


def _store_large(
    rt: Runtime, kind: RepoType, files: Mapping[str, bytes | Path]
) -> tuple[dict[str, bytes], list[dict[str, object]]]:
    """Large files into the store; in their places pointers, and the claims to them."""
    attributes = default_gitattributes(kind.value)
    found: dict[str, bytes] = {}
    claims: list[dict[str, object]] = []
    for path, content in files.items():
        if not is_lfs_path(attributes, path):
            found[path] = content if isinstance(content, bytes) else content.read_bytes()
            continue
        with tempfile.TemporaryDirectory(dir=rt.settings.tmp_root) as folder:
            staged = Path(folder) / "large"
            if isinstance(content, bytes):
                staged.write_bytes(content)
            else:
                shutil.copyfile(content, staged)
            with staged.open("rb") as file:
                oid = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = staged.stat().st_size
            put_lfs_object(rt, staged, oid, size_bytes, sha256=oid)
        found[path] = format_pointer(oid, size_bytes)
        claims.append({"oid": oid, "size_bytes": size_bytes, "xet_hash": None})
    return found, claims


def _open_welcome(rt: Runtime) -> bool:
    """The first topic of the forum, in both languages, by nobody in particular."""
    ensure_categories(rt)
    with rt.database.writing() as db:
        category = db.scalars(select(Category).where(Category.slug == "announcements")).one_or_none()
        if category is None:
            return False
        thread = Thread(kind=TOPIC, category_id=category.id, category=category, is_pinned=True)
        insert_thread(db, ACTOR, thread, TITLE, TEXT)
        thread.num = thread.id
    return True
