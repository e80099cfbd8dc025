"""The quickest look at a branch: its own file, as every git program writes it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from llmos.infra.git.errors import RepositoryMissing
from llmos.infra.git.repository import open_repo
from llmos.infra.git.revisions import BRANCH_PREFIX, read_ref

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?\Z")
_OID_LINE = re.compile(rb"([0-9a-f]{40})\n?\Z")


def read_plain_branch(path: Path | str, name: str) -> str | None:
    """The commit of a branch with a plain name (no slash); None where it takes a full `resolve`.

    Reads the ref anew each time, so a move by any process is seen at once. A loose ref wins over
    a packed one; git writes the packed one before it removes the loose one.
    """
    if _PLAIN_NAME.match(name) is None or ".." in name or name.endswith(".lock"):
        return None
    try:
        fd = os.open(f"{path}/refs/heads/{name}", os.O_RDONLY)
    except OSError:
        try:
            return read_ref(open_repo(path), BRANCH_PREFIX + name)
        except RepositoryMissing:
            return None
    try:
        found = _OID_LINE.match(os.read(fd, 256))
    except IsADirectoryError:
        return None
    finally:
        os.close(fd)
    return found[1].decode() if found else None
