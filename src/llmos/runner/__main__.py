"""`python -m llmos.runner CONFIG [--built-in]`: a runner from a JSON file, small in memory.

The keys are the fields of `start.Options`; `token_file` stands for the token. Exit codes: 0 stopped,
1 refused by the hub or the folder in use, 3 this machine cannot isolate jobs.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from llmos.runner.agent import AlreadyRunning, NotWelcome
from llmos.runner.start import DEFAULT_ENGINES, CannotStart, Options, build_agent, run_until_stopped

CANNOT_ISOLATE = 3


def read_options(path: Path) -> Options:
    """The options in a file. Raises OSError, ValueError, KeyError."""
    found = json.loads(path.read_text())
    return Options(
        url=found["url"],
        token=Path(found["token_file"]).read_text().strip(),
        root=Path(found["root"]),
        name=found.get("name", ""),
        labels=dict(found.get("labels", {})),
        slots=int(found.get("slots", 0)),
        hide=tuple(Path(folder) for folder in found.get("hide", ())),
        drain_s=float(found.get("drain_s", 10)),
        engines=int(found.get("engines", DEFAULT_ENGINES)),
        serve_memory_bytes=int(found.get("serve_memory_bytes", 0)),
    )


def main() -> int:
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    log = logging.getLogger("llmos.runner")
    options = read_options(Path(sys.argv[1]))
    try:
        agent = build_agent(options)
        run_until_stopped(agent, drain_s=options.drain_s)
    except CannotStart as error:
        log.warning("%s", error)
        # Beside a hub this is no failure that starting again would mend.
        return 0 if "--built-in" in sys.argv else CANNOT_ISOLATE
    except (NotWelcome, AlreadyRunning) as error:
        log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
