"""Benchmarks that come with LLMOS: each a data set of an organisation that the instance makes for them.

The worker makes them after the first start; those an admin deletes stay deleted.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

import llmos
from llmos.core.ids import new_object_id
from llmos.core.repo_types import RepoType
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.models import Namespace, Organization
from llmos.features.repos.commit_targets import author_identity, site_identity
from llmos.features.repos.lifecycle import add_repo_row
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.features.repos.seeds import first_files, init_git
from llmos.infra.runtime import Runtime

OWNER = "llmos"
_ACTOR = Actor(name=OWNER, is_admin=True)
# Names of what was made once, so that nothing comes back that was deleted.
_DONE_FILE = "shipped-benchmarks.txt"


def shipped_folder() -> Path:
    return Path(llmos.__path__[0]) / "lab" / "samples" / "benchmarks"


def ship_benchmarks(rt: Runtime, folder: Path | None = None) -> int:
    """Make those that were never made here; how many. Does nothing where settings.demo is off."""
    done_file = rt.settings.home / _DONE_FILE
    source = folder or shipped_folder()
    if not rt.settings.demo or not source.is_dir():
        return 0
    done = set(done_file.read_text(encoding="utf-8").split()) if done_file.exists() else set()
    waiting = [path for path in sorted(source.iterdir()) if (path / "eval.yaml").is_file()]
    made = 0
    for path in waiting:
        if path.name in done:
            continue
        with rt.database.writing() as db:
            made += _make(db, rt, path)
        with done_file.open("a", encoding="utf-8") as out:
            out.write(f"{path.name}\n")
    return made


def _make(db: Session, rt: Runtime, folder: Path) -> bool:
    owner = ensure_owner(db)
    known = select(Repo.id).where(
        Repo.namespace_id == owner.id,
        Repo.type == RepoType.DATASET.value,
        Repo.name_key == folder.name.lower(),
    )
    if db.scalar(known) is not None:
        return False
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    repo = Repo(object_id=new_object_id(), type=RepoType.DATASET.value, visibility="public")
    content = first_files(RepoType.DATASET, name=folder.name, license_id=None, sdk=None, files=files)
    init_git(git_path(rt, repo), author_identity(rt, _ACTOR), site_identity(rt), content)
    add_repo_row(db, _ACTOR, rt, repo, namespace_id=owner.id, name=folder.name)
    return True


def ensure_owner(db: Session) -> Namespace:
    """The organisation, without members: instance admins look after it. Nobody can take its name."""
    found = db.scalars(select(Namespace).where(Namespace.name_key == OWNER)).unique().one_or_none()
    if found is None:
        found = Namespace(name=OWNER, name_key=OWNER, kind="org", fullname="LLMOS")
        db.add(found)
        db.flush()
        db.add(Organization(id=found.id, namespace=found))
        db.flush()
    return found
