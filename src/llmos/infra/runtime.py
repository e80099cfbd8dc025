"""The long-lived parts of one process: settings, database, object store, signer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmos.infra.blobs.store import ObjectStore, open_store
from llmos.infra.db.engine import Database
from llmos.infra.security.secrets import load_secret_key
from llmos.infra.security.signing import Signer
from llmos.infra.settings import Settings


@dataclass(frozen=True, slots=True)
class Runtime:
    """Built once by the composition root (web process or command) and passed down."""

    settings: Settings
    database: Database
    objects: ObjectStore
    signer: Signer

    @property
    def git_root(self) -> Path:
        return self.settings.git_root

    def close(self) -> None:
        self.database.dispose()


def open_runtime(settings: Settings) -> Runtime:
    """Create the folders of `LLMOS_HOME` where missing, for nobody else to read, and open every store."""
    for folder in (settings.home, settings.git_root, settings.tmp_root):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Runtime(
        settings=settings,
        database=Database(settings.database, pool_size=settings.threads),
        objects=open_store(settings),
        signer=Signer(load_secret_key(settings)),
    )
