"""The `llmos` command. One file per noun; nothing of the server is imported before it is needed."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `llmos` program; the exit code is 0, 1 (refused) or 2 (misused)."""
    from llmos.cli.root import llmos

    sys.exit(llmos.main(prog_name="llmos", standalone_mode=True))
