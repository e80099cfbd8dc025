"""Wakes the runners that ask this process for jobs, so that a model that is wanted starts at once.

Jobs that another process has queued are found by looking, a few times a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

# Those that wait, each with the kinds it takes and the loop it runs in.
_sleepers: set[tuple[tuple[str, ...], asyncio.AbstractEventLoop, asyncio.Event]] = set()


async def wait_for_job(kinds: Sequence[str], timeout_s: float) -> bool:
    """Sleep; whether it was cut short by a job of one of the kinds."""
    sleeper = (tuple(kinds), asyncio.get_running_loop(), asyncio.Event())
    _sleepers.add(sleeper)
    try:
        await asyncio.wait_for(sleeper[2].wait(), timeout_s)
    except TimeoutError:
        return False
    finally:
        _sleepers.discard(sleeper)
    return True


def wake_runners(kind: str) -> None:
    """To be called, from any thread, after a job of this kind was committed."""
    for kinds, loop, event in list(_sleepers):
        if kind in kinds and not loop.is_closed():
            loop.call_soon_threadsafe(event.set)
