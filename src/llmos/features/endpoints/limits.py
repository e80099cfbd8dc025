"""An endpoint's own limits: calls a minute of each caller, tokens a day of all together."""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from hashlib import blake2b
from pathlib import Path
from struct import Struct

from llmos.features.accounts.actor import Actor
from llmos.features.endpoints.errors import RateLimited
from llmos.features.endpoints.resolving import Route
from llmos.infra.i18n import lazy

_WINDOW_S = 60
# A caller's key, the present window, calls in it and in the one before.
_SLOT = Struct("<QQII")
_SLOTS = 1 << 15
_PROBES = 8
# How long the sum of a day's tokens is believed.
TOKENS_FRESH_S = 10.0


class Counts:
    """Calls of each caller in the last minute, counted by all web processes of a machine together.

    A table in a file they map, locked for the microseconds of a count. The last minute is the present one
    and the share of the one before that is not over a minute ago. Of very many callers the quietest are
    forgotten.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = _SLOTS * _SLOT.size
        if os.fstat(self._file).st_size < size:
            os.ftruncate(self._file, size)
        self._table = mmap.mmap(self._file, size)

    def take(self, key: bytes, allowed: int, now_s: float) -> int:
        """Count a call: 0, or in how many seconds to come again, and then it is not counted."""
        number = int.from_bytes(blake2b(key, digest_size=8).digest(), "little") or 1
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            return self._take(number, allowed, now_s)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _take(self, number: int, allowed: int, now_s: float) -> int:
        window, into_s = divmod(now_s, _WINDOW_S)
        place, now, before = self._find(number, int(window))
        if now + 1 + before * (1 - into_s / _WINDOW_S) > allowed:
            # The calls before fade away steadily, those of this minute from its end on.
            if now < allowed:
                wait_s = _WINDOW_S * (1 - (allowed - 1 - now) / before) - into_s
            else:
                wait_s = _WINDOW_S * (2 - (allowed - 1) / now) - into_s
            return int(wait_s) + 1
        _SLOT.pack_into(self._table, place, number, int(window), now + 1, before)
        return 0

    def _find(self, number: int, window: int) -> tuple[int, int, int]:
        """The caller's place in the table, and its calls in this window and the one before."""
        quietest, least = 0, (1 << 63, 0)
        for probe in range(_PROBES):
            place = (number + probe) % _SLOTS * _SLOT.size
            key, since, now, before = _SLOT.unpack_from(self._table, place)
            if key == number:
                if since == window:
                    return place, now, before
                return place, 0, now if since == window - 1 else 0
            if (since, now) < least:
                quietest, least = place, (since, now)
        return quietest, 0, 0


class Limits:
    """`folder` is shared by the web processes of a machine; several machines count each for itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts: Counts | None = None
        self._tokens: dict[int, tuple[float, int]] = {}

    def take(self, route: Route, actor: Actor) -> None:
        """Count a call. Raises RateLimited."""
        allowed = route.rate_per_minute
        if not allowed:
            return
        if self._counts is None:
            self._counts = Counts(self._folder / "calls")
        caller = f"{route.endpoint_id}\0{actor.user_id or actor.ip}".encode()
        wait_s = self._counts.take(caller, allowed, time.time())
        if wait_s:
            raise RateLimited(
                lazy("%(model)s takes %(count)d calls a minute.", model=route.repo_name, count=allowed),
                data={"retry_after_s": wait_s},
            )

    def known_tokens(self, route: Route) -> int | None:
        """The tokens of the last day as of a moment ago; None: they have to be looked up."""
        found = self._tokens.get(route.endpoint_id)
        return found[1] if found is not None and time.monotonic() - found[0] < TOKENS_FRESH_S else None

    def note_tokens(self, route: Route, tokens: int) -> None:
        self._tokens[route.endpoint_id] = (time.monotonic(), tokens)


def check_tokens(route: Route, tokens: int) -> None:
    """Raises RateLimited once the day's tokens are used up."""
    if tokens >= route.tokens_per_day:
        raise RateLimited(
            lazy(
                "The %(count)d tokens that %(model)s gives in a day are used up.",
                count=route.tokens_per_day,
                model=route.repo_name,
            ),
            data={"retry_after_s": 3600},
        )
