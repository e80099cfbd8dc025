"""Inputs before a job, outputs and checkpoints after it: by a child program (`client.transfer`)."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llmos.client

_SCRIPT = Path(llmos.client.__path__[0]) / "transfer.py"
_POLL_S = 0.1
_TRIES, _MAX_PAUSE_S = 12, 15.0


class TransferFailed(Exception):
    """Files could not be moved; the text is for the person who sent the job."""


class Stopped(Exception):
    """Somebody wanted the work to stop meanwhile."""


@dataclass(frozen=True, slots=True)
class Transfers:
    """For one attempt. `should_stop` is asked several times a second."""

    python: Path | None
    spec: Mapping[str, Any]
    cache: Path
    should_stop: Callable[[], bool]

    def fetch(self, item: Mapping[str, Any], dest: Path) -> None:
        """Lay the files of one `wire.jobs.JobInput` into the new folder `dest`.

        Raises TransferFailed, Stopped.
        """
        dest.mkdir(parents=True)
        request = {
            "op": "fetch",
            "type": item["type"],
            "repo": item["repo"],
            "revision": item.get("revision"),
            "sub_path": item.get("sub_path") or item.get("path_in_repo") or "",
            "dest": str(dest),
        }
        self._run(request, f"{item['type']} {item['repo']} could not be fetched")

    def publish(
        self, source: Path, output: Mapping[str, Any], *, message: str, path_in_repo: str = ""
    ) -> str:
        """Commit the folder to where a `wire.jobs.JobOutput` says; the commit's id ("" for buckets).

        Raises TransferFailed, Stopped.
        """
        request = {
            "op": "publish",
            "type": output["type"],
            "repo": output["repo"],
            "branch": output.get("branch") or "main",
            "pull_request": bool(output.get("pull_request")),
            "source": str(source),
            "path_in_repo": path_in_repo,
            "message": message,
        }
        done = self._run(request, f"{output['type']} {output['repo']} could not be written")
        return str(done.get("revision", ""))

    def _run(self, request: dict[str, Any], what: str) -> dict[str, Any]:
        if self.python is None:
            raise TransferFailed(f"{what}: huggingface_hub is not installed beside the runner")
        request |= {
            "hub_url": self.spec["hub_url"],
            "token": self.spec.get("token", ""),
            "cache": str(self.cache),
            "home": str(self.cache.parent / "hf"),
        }
        pause_s = 0.5
        for attempt in range(_TRIES):
            answer = self._run_once(json.dumps(request).encode())
            if "ok" in answer:
                found: dict[str, Any] = answer["ok"]
                return found
            if not answer.get("again") or attempt == _TRIES - 1:
                break
            self._pause(pause_s)
            pause_s = min(pause_s * 2, _MAX_PAUSE_S)
        raise TransferFailed(f"{what}: {answer.get('error')}")

    def _run_once(self, request: bytes) -> dict[str, Any]:
        command = [str(self.python), str(_SCRIPT)]
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as child:
            try:
                output, errors = child.communicate(request, timeout=_POLL_S)
            except subprocess.TimeoutExpired:
                output, errors = self._await(child)
        try:
            answer: dict[str, Any] = json.loads(output.decode().splitlines()[-1])
        except (IndexError, ValueError):
            return {"error": errors.decode(errors="replace")[-500:] or "the transfer ended early"}
        return answer

    def _await(self, child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        while True:
            if self.should_stop():
                child.kill()
                child.communicate()
                raise Stopped
            try:
                return child.communicate(timeout=_POLL_S)
            except subprocess.TimeoutExpired:
                continue

    def _pause(self, pause_s: float) -> None:
        ends_at = time.monotonic() + pause_s
        while time.monotonic() < ends_at:
            if self.should_stop():
                raise Stopped
            time.sleep(_POLL_S)


def check_mount_path(path: str) -> None:
    """Refuse places where a job's own system lies. Raises TransferFailed."""
    first = Path(path).parts[1] if path.startswith("/") and len(Path(path).parts) > 1 else ""
    taken = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "etc", "proc", "dev", "sys", "run", "var")
    if not first or first in taken or ".." in Path(path).parts or path in ("/job", "/tmp", "/opt"):
        raise TransferFailed(f"files cannot be laid at {path}: choose another place, such as /data")
    if path.startswith("/opt/llmos"):
        raise TransferFailed(f"files cannot be laid at {path}: that is the runner's own place")
