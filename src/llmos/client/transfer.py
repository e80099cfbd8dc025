"""Moves files between a hub and this machine, as a program of its own: one request on standard input.

It runs apart so that the libraries it needs never weigh on an idle runner, and may run with any
Python that has `huggingface_hub` (2.x); therefore it imports nothing of LLMOS. The token comes in
the request, not on the command line, where others could read it. The last line on standard output is JSON:
`{"ok": …}` or `{"error": text, "again": true}` where trying again may help.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def fetch(request: dict[str, Any]) -> dict[str, Any]:
    """Files of one repository at one commit into the empty folder `dest`.

    Content that is in `cache` already is not asked for again; files of `dest` share their bytes
    with it (hard links).
    """
    if request["type"] == "bucket":
        return _fetch_bucket(request)
    from huggingface_hub import snapshot_download

    sub_path = request.get("sub_path", "").strip("/")
    snapshot = snapshot_download(
        request["repo"],
        repo_type=request["type"],
        revision=request["revision"],
        cache_dir=request["cache"],
        token=request["token"],
        allow_patterns=[f"{_literal(sub_path)}/*", _literal(sub_path)] if sub_path else None,
    )
    return {"files": _link_tree(Path(snapshot) / sub_path, Path(request["dest"]))}


def _literal(path: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in path)


def _fetch_bucket(request: dict[str, Any]) -> dict[str, Any]:
    from huggingface_hub import HfApi

    source = f"hf://buckets/{request['repo']}/{request.get('sub_path', '').strip('/')}".rstrip("/")
    HfApi(token=request["token"]).sync_bucket(source, request["dest"], quiet=True)
    return {"files": sum(1 for path in Path(request["dest"]).rglob("*") if path.is_file())}


def _link_tree(source: Path, dest: Path) -> int:
    """Hard links (or copies) of what the links of a cache snapshot point to."""
    if source.is_file():
        pairs: Iterator[tuple[Path, Path]] = iter([(source, dest / source.name)])
    else:
        pairs = ((path, dest / path.relative_to(source)) for path in source.rglob("*") if path.is_file())
    count = 0
    for path, target in pairs:
        target.parent.mkdir(parents=True, exist_ok=True)
        real = path.resolve()
        try:
            os.link(real, target)
        except OSError:
            shutil.copyfile(real, target)
        target.chmod(0o644)
        count += 1
    return count


def publish(request: dict[str, Any]) -> dict[str, Any]:
    """The folder `source` as a commit on `branch`, or as a pull request."""
    from huggingface_hub import HfApi

    api = HfApi(token=request["token"])
    source = Path(request["source"])
    _check_plain(source)
    if request["type"] == "bucket":
        target = f"hf://buckets/{request['repo']}/{request.get('path_in_repo', '')}".rstrip("/")
        api.sync_bucket(str(source), target, quiet=True)
        return {"revision": ""}
    branch = request.get("branch", "main")
    offered = bool(request.get("pull_request"))
    if not offered and branch != "main":
        api.create_branch(request["repo"], repo_type=request["type"], branch=branch, exist_ok=True)
    done = api.upload_folder(
        repo_id=request["repo"],
        repo_type=request["type"],
        folder_path=source,
        path_in_repo=request.get("path_in_repo") or None,
        revision=None if offered else branch,
        commit_message=request["message"],
        create_pr=offered or None,
    )
    return {"revision": done.oid}


def _check_plain(folder: Path) -> None:
    """Only folders and files: a link would carry this machine's own files away."""
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError(f"{path.name} is neither a file nor a folder")


def _may_pass(error: BaseException | None) -> bool:
    """Whether the same request may succeed a little later: the hub is away or busy."""
    from httpx2 import HTTPStatusError, TransportError

    while error is not None:
        if isinstance(error, TransportError | ConnectionError | TimeoutError):
            return True
        if isinstance(error, HTTPStatusError):
            return error.response.status_code >= 500 or error.response.status_code == 429
        error = error.__cause__ or error.__context__
    return False


def main() -> int:
    request = json.loads(sys.stdin.buffer.read())
    # Read when the library is imported, so they come before it.
    os.environ |= {
        "HF_ENDPOINT": request["hub_url"],
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HOME": request["home"],
    }
    os.environ.pop("HF_TOKEN", None)
    try:
        from httpx2 import HTTPError

        done = {"fetch": fetch, "publish": publish}[request["op"]](request)
    except ImportError as error:
        say(error=f"{error}: install huggingface_hub beside the runner", again=False)
        return 1
    except (HTTPError, OSError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())[:1000] or type(error).__name__
        text = text.replace(request["token"], "…") if request["token"] else text
        say(error=text, again=_may_pass(error))
        return 1
    say(ok=done)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
