"""The line between git's hooks and the request that runs git.

Git calls `pre-receive` when all objects of a push have arrived in quarantine and no ref has moved,
and `post-receive` when refs have. Both are one tiny shell script: it passes what it is told up one
inherited pipe and waits for the verdict on another. A server that died leaves that pipe closed,
which the script takes for a refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from llmos.core.errors import LlmosError, Unavailable
from llmos.features.repos.push import RefUpdate
from llmos.features.repos.receive import MAX_REFS_PER_PUSH, PushRefused
from llmos.infra.blobs.durable import write_file
from llmos.infra.runtime import Runtime

HOOKS = ("pre-receive", "post-receive")
_LINE_BYTES = 64 * 1024
_MAX_ANSWER_CHARS = 8_000
_COMMAND = re.compile(r"([0-9a-f]{40}) ([0-9a-f]{40}) (refs/.+)\Z")
_SCRIPT = """\
#!/bin/sh
{ printf '%s %s\\n' "$(basename "$0")" "$GIT_QUARANTINE_PATH"; cat; printf 'end\\n'; } \\
  >"/dev/fd/$LLMOS_HOOK_OUT" || exit 1
while IFS= read -r line; do
  case $line in
    ok) exit 0 ;;
    no) exit 1 ;;
    *) printf '%s\\n' "${line#> }" >&2 ;;
  esac
done <"/dev/fd/$LLMOS_HOOK_IN"
echo 'The server stopped before it could decide about this push: try again.' >&2
exit 1
"""


@dataclass(frozen=True, slots=True)
class HookCall:
    """What git asks: the hook's name, the refs, and where the new objects lie."""

    name: str
    updates: list[RefUpdate]
    quarantine: Path | None


Answer = Callable[[HookCall], Awaitable[None]]


def hook_folder(rt: Runtime) -> Path:
    """The folder for `core.hooksPath`, written where missing or different.

    Raises Unavailable where the scripts cannot be run: git would skip them, and with them all rules.
    """
    folder = rt.settings.home / "hooks"
    for name in HOOKS:
        path = folder / name
        if not path.is_file() or path.read_text() != _SCRIPT:
            write_file(path, _SCRIPT.encode(), tmp_root=rt.settings.tmp_root)
        if not os.access(path, os.X_OK):
            path.chmod(0o755)
        if not os.access(path, os.X_OK):
            raise Unavailable("Pushing is off: hooks cannot run in LLMOS_HOME (is it mounted noexec?).")
    return folder


@dataclass(frozen=True, slots=True)
class HookLine:
    """`environment` and `pass_fds` are for the git process, `serve` for the request beside it."""

    environment: dict[str, str]
    pass_fds: tuple[int, int]
    serve: Callable[[Answer], Awaitable[None]]
    close_child_ends: Callable[[], None]


@asynccontextmanager
async def hook_line() -> AsyncIterator[HookLine]:
    """Two pipes for one git process."""
    out_read, out_write = os.pipe()
    in_read, in_write = os.pipe()
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(out_read, "rb", buffering=0)
    )
    child_ends = [out_write, in_read]

    def close_child_ends() -> None:
        while child_ends:
            os.close(child_ends.pop())

    async def serve(answer: Answer) -> None:
        while (call := await _read_call(reader)) is not None:
            _reply(in_write, await _ask(answer, call))

    environment = {"LLMOS_HOOK_OUT": str(out_write), "LLMOS_HOOK_IN": str(in_read)}
    try:
        yield HookLine(environment, (out_write, in_read), serve, close_child_ends)
    finally:
        transport.close()
        close_child_ends()
        os.close(in_write)


async def _read_call(reader: asyncio.StreamReader) -> HookCall | None:
    head = await reader.readline()
    if not head.endswith(b"\n"):
        return None
    name, _, folder = head[:-1].decode("utf-8", "surrogateescape").partition(" ")
    updates: list[RefUpdate] = []
    problem = ""
    while (line := await reader.readline()) != b"end\n":
        if not line:
            return None
        update = _parse_command(line)
        if update is None:
            problem = "A ref name is not UTF-8 or malformed: rename it."
        elif len(updates) <= MAX_REFS_PER_PUSH:
            updates.append(update)
    if problem:
        updates.append(RefUpdate("", None, None))
    return HookCall(name, updates, Path(folder) if folder else None)


def _parse_command(line: bytes) -> RefUpdate | None:
    try:
        match = _COMMAND.match(line.decode().removesuffix("\n"))
    except UnicodeDecodeError:
        return None
    if match is None:
        return None
    old, new, ref = match.groups()
    return RefUpdate(ref, None if set(old) == {"0"} else old, None if set(new) == {"0"} else new)


async def _ask(answer: Answer, call: HookCall) -> str:
    try:
        await answer(call)
    except LlmosError as error:
        if error.status >= 500 and not isinstance(error, PushRefused):
            raise
        text = error.message[:_MAX_ANSWER_CHARS]
        return "".join(f"> {line}\n" for line in text.splitlines()) + "no\n"
    return "ok\n"


def _reply(fd: int, text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(fd, text.encode("utf-8", "replace"))
