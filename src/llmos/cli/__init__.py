"""The `llmos` command. One file per noun; nothing of the server is imported before it is needed.

Exit codes: 0, 1 (refused, or something is broken), 2 (used wrongly).
"""

import sys


def main() -> None:
    """What the shell calls. The commands themselves, as click knows them, are `llmos.cli.root.main`."""
    if sys.argv[1:] == ["up"]:
        # What it starts waits for it, and click takes longer to load than all that it does.
        from llmos.app.supervisor import main as watch

        sys.exit(watch())
    from llmos.cli import root

    root.main(prog_name="llmos")
