"""The `llmos` command. One file per noun; nothing of the server is imported before it is needed.

Exit codes: 0, 1 (refused, or something is broken), 2 (used wrongly).
"""

from llmos.cli.root import main

__all__ = ["main"]
