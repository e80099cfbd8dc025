"""Whatever the umask, nobody else reads the instance's folder, database or secrets."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import os, sys
os.umask(0)
from llmos.app.schema import ensure_schema
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings
from sqlalchemy import text
rt = open_runtime(Settings(home=sys.argv[1], database_url=None))
ensure_schema(rt)
with rt.database.reading() as db:
    db.execute(text("select 1"))
    os._exit(0)  # as a crash: the write-ahead log stays
"""


def test_nothing_is_open_to_others_under_any_umask(tmp_path: Path) -> None:
    home = tmp_path / "parent" / "var"
    subprocess.run([sys.executable, "-c", _PROGRAM, str(home)], check=True, timeout=120)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    private = [*home.glob("llmos.db*"), *home.glob("secrets/*")]
    assert {path.name for path in private} >= {"llmos.db", "llmos.db-wal", "secret_key"}
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
