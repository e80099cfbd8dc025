"""Run the `git` program in an environment nobody else can influence."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llmos.infra.git.errors import GitFailed, GitTimeout

DEFAULT_TIMEOUT_S = 60.0
_MAX_ERROR_CHARS = 2000


@dataclass(frozen=True, slots=True)
class GitResult:
    returncode: int
    stdout: bytes
    stderr: bytes


def git_environment() -> dict[str, str]:
    """A complete environment for a `git` process.

    No system, user or XDG configuration, no prompt, no pager, no network, fixed language, and literal path
    specs, so that a file named `*` or `:(top)` means itself. Repositories owned by another user
    are accepted: the caller decides which folder is opened.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ALLOW_PROTOCOL": "file",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def run_git(
    path: Path | str | None,
    *args: str,
    input_bytes: bytes | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    accept: Sequence[int] = (0,),
) -> GitResult:
    """Run `git` on the bare repository at `path` (None: on no repository) and wait for it.

    Raises GitFailed for an exit status outside `accept`, GitTimeout after `timeout_s` seconds.
    Callers put `--end-of-options` or `--` before any value that came from outside.
    """
    where = [] if path is None else [f"--git-dir={path}"]
    try:
        done = subprocess.run(
            ["git", *where, *args],
            input=input_bytes,
            stdin=subprocess.DEVNULL if input_bytes is None else None,
            capture_output=True,
            env=git_environment(),
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise GitTimeout(f"git {args[0]} took longer than {timeout_s:g} seconds.") from error
    if done.returncode not in accept:
        detail = done.stderr.decode("utf-8", "replace").strip()[:_MAX_ERROR_CHARS]
        raise GitFailed(f"git {args[0]} failed with status {done.returncode}: {detail}")
    return GitResult(done.returncode, done.stdout, done.stderr)


def read_git(
    path: Path | str, *args: str, max_bytes: int, timeout_s: float = DEFAULT_TIMEOUT_S
) -> tuple[bytes, bool]:
    """The first `max_bytes` of what `git` prints, and whether there was more.

    The process is stopped as soon as enough was read, and after `timeout_s` (GitTimeout).
    """
    process = subprocess.Popen(
        ["git", f"--git-dir={path}", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=git_environment(),
    )
    has_timed_out = threading.Event()

    def stop() -> None:
        has_timed_out.set()
        process.kill()

    timer = threading.Timer(timeout_s, stop)
    timer.start()
    try:
        assert process.stdout is not None
        data = process.stdout.read(max_bytes + 1)
        is_truncated = len(data) > max_bytes
        if is_truncated:
            process.kill()
    finally:
        timer.cancel()
        process.stdout.close()  # type: ignore[union-attr]
        process.wait()
    if has_timed_out.is_set():
        raise GitTimeout(f"git {args[0]} took longer than {timeout_s:g} seconds.")
    if process.returncode != 0 and not is_truncated:
        raise GitFailed(f"git {args[0]} failed with status {process.returncode}.")
    return data[:max_bytes], is_truncated
