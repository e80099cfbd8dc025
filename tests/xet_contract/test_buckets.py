"""Buckets through the official client: its API, its commands, its file system."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from kit.programs import run, run_python
from kit.server import LiveServer
from xet_contract.conftest import ClientFactory, HubClient, sample
from xet_contract.test_round_trips import get

MIB = 1024 * 1024
_numbers = itertools.count(1)

_FILE_SYSTEM = """
import json, sys
from huggingface_hub import HfFileSystem
fs = HfFileSystem()
root = "hf://buckets/" + sys.argv[1]
with fs.open(f"{root}/logs/a.bin", block_size=100_000) as file:
    file.seek(1_000_001)
    piece = file.read(200_000)
print(json.dumps({
    "ls": sorted(fs.ls(f"{root}/logs", detail=False)), "find": sorted(fs.find(root)),
    "piece": piece.hex(), "is_dir": fs.isdir(f"{root}/logs"), "size": fs.info(f"{root}/logs/a.bin")["size"],
}))
"""

_CALLS = """
import json, sys
from huggingface_hub import HfApi
from huggingface_hub.errors import BucketNotFoundError, HfHubHTTPError
api = HfApi()
out = []
for name, args, options in json.loads(sys.argv[1]):
    try:
        value = getattr(api, name)(*args, **options)
        value = [str(item) for item in value] if hasattr(value, "__iter__") else str(value)
    except Exception as error:
        value = type(error).__name__
    out.append(value)
print(json.dumps(out))
"""


def call(client: HubClient, name: str, *args: object, **options: object) -> object:
    return run_python(_CALLS, client.env, json.dumps([[name, args, options]]))[0]


def hf(client: HubClient, *arguments: str, check: bool = True) -> str:
    done = run(["hf", *arguments], client.env, client.folder, check=check)
    return done.stdout + done.stderr


@pytest.fixture
def bucket(client: ClientFactory) -> str:
    """A new, empty, private bucket of ada's."""
    name = f"ada/things-{next(_numbers)}"
    hf(client(), "buckets", "create", name, "--private")
    return name


def put(client: HubClient, bucket: str, path: str, data: bytes) -> None:
    hf(client, "cp", client.write("up", data), f"hf://buckets/{bucket}/{path}")


def test_sync_up_and_down(client: ClientFactory, bucket: str, server: LiveServer) -> None:
    ada = client()
    big = sample("bf16", 5 * MIB)
    ada.write("from/logs/a.bin", big)
    ada.write("from/logs/deep/b.txt", b"hello")
    ada.write("from/empty", b"")
    hf(ada, "sync", "from", f"hf://buckets/{bucket}/run 1")
    assert "skip" in hf(ada, "sync", "from", f"hf://buckets/{bucket}/run 1", "--dry-run").lower()
    other = client()
    hf(other, "sync", f"hf://buckets/{bucket}/run 1", "to")
    assert (other.folder / "to/logs/a.bin").read_bytes() == big
    assert (other.folder / "to/logs/deep/b.txt").read_bytes() == b"hello"
    assert (other.folder / "to/empty").read_bytes() == b""
    info = json.loads(get(server, f"/api/buckets/{bucket}", "ada")[2])
    assert (info["totalFiles"], info["size"], info["private"]) == (3, 5 * MIB + 5, True)
    Path(ada.folder / "from/logs/a.bin").unlink()
    hf(ada, "sync", "from", f"hf://buckets/{bucket}/run 1", "--delete")
    info = json.loads(get(server, f"/api/buckets/{bucket}", "ada")[2])
    assert (info["totalFiles"], info["size"]) == (2, 5)


def test_file_system_reads_and_lists(client: ClientFactory, bucket: str) -> None:
    data = sample("noise", 2 * MIB)
    ada = client()
    put(ada, bucket, "logs/a.bin", data)
    put(ada, bucket, "logs/deep/b.txt", b"b")
    put(ada, bucket, "logs.txt", b"c")
    seen = run_python(_FILE_SYSTEM, ada.env, bucket)
    root = f"buckets/{bucket}"
    assert seen["ls"] == [f"{root}/logs/a.bin", f"{root}/logs/deep"]
    assert seen["find"] == [f"{root}/logs.txt", f"{root}/logs/a.bin", f"{root}/logs/deep/b.txt"]
    assert bytes.fromhex(seen["piece"]) == data[1_000_001:1_200_001]
    assert (seen["is_dir"], seen["size"]) == (True, len(data))


def test_plain_http_reads_the_same_bytes(client: ClientFactory, bucket: str, server: LiveServer) -> None:
    data = sample("noise", 2 * MIB)
    put(client(), bucket, "a b/ü.bin", data)
    path = f"/buckets/{bucket}/resolve/a%20b%2F%C3%BC.bin"
    assert get(server, path, "ada")[2] == data
    status, headers, piece = get(server, path, "ada", Range="bytes=1000000-1000999")
    assert (status, piece) == (206, data[1_000_000:1_001_000])
    assert headers["content-range"] == f"bytes 1000000-1000999/{len(data)}"
    assert get(server, f"/buckets/{bucket}/resolve/none", "ada")[0] == 404


def test_private_bucket_is_closed_to_others(client: ClientFactory, bucket: str, server: LiveServer) -> None:
    put(client(), bucket, "secret.bin", sample("noise", MIB))
    grace = client("grace")
    assert call(grace, "bucket_info", bucket) == "BucketNotFoundError"
    assert call(grace, "delete_bucket", bucket) == "BucketNotFoundError"
    assert call(client(None), "bucket_info", bucket) in ("BucketNotFoundError", "HfHubHTTPError")
    for path in ("", "/tree", "/xet-read-token", "/xet-write-token"):
        assert get(server, f"/api/buckets/{bucket}{path}", "grace")[0] == 404
    assert get(server, f"/buckets/{bucket}/resolve/secret.bin", "grace")[0] == 404
    assert get(server, f"/buckets/{bucket}", "grace")[0] == 404
    assert bucket not in str(call(grace, "list_buckets", "ada"))
    assert bucket in str(call(client(), "list_buckets", "ada"))
    assert call(client(), "update_bucket_settings", bucket, private=False) == "None"
    assert "secret.bin" in str(call(grace, "list_bucket_tree", bucket))
    refused = hf(grace, "cp", grace.write("x", b"x"), f"hf://buckets/{bucket}/x", check=False)
    assert "403" in refused or "not write" in refused


def test_copy_from_repository_and_bucket(client: ClientFactory, bucket: str, repo_id: str) -> None:
    data = sample("bf16", 3 * MIB)
    ada = client()
    ada.upload(repo_id, "model.bin", data)
    hf(ada, "cp", f"hf://{repo_id}/model.bin", f"hf://buckets/{bucket}/copied.bin")
    hf(ada, "cp", f"hf://buckets/{bucket}/copied.bin", f"hf://buckets/{bucket}/again/")
    hf(ada, "cp", f"hf://buckets/{bucket}/again/copied.bin", "down.bin")
    assert (ada.folder / "down.bin").read_bytes() == data


def test_create_list_move_delete(client: ClientFactory) -> None:
    ada = client()
    name = f"Plain-{next(_numbers)}"
    assert f"/buckets/ada/{name}" in str(call(ada, "create_bucket", name))
    assert call(ada, "create_bucket", name.lower()) == "HfHubHTTPError"
    assert f"/buckets/ada/{name}" in str(call(ada, "create_bucket", f"ada/{name.lower()}", exist_ok=True))
    assert len(call(ada, "list_buckets", search=name[:6].lower())) >= 1  # type: ignore[arg-type]
    put(ada, f"ada/{name}", "x.txt", b"moved along")
    assert call(ada, "move_bucket", f"ada/{name}", f"lab/{name}") == "None"
    assert f"id='lab/{name}'" in str(call(ada, "bucket_info", f"ada/{name}"))
    hf(ada, "cp", f"hf://buckets/lab/{name}/x.txt", "x.txt")
    assert (ada.folder / "x.txt").read_bytes() == b"moved along"
    hf(ada, "buckets", "rm", f"lab/{name}/x.txt", "--yes")
    assert call(ada, "list_bucket_tree", f"lab/{name}") == []
    hf(ada, "buckets", "delete", f"lab/{name}", "--yes")
    assert call(ada, "bucket_info", f"lab/{name}") == "BucketNotFoundError"


def test_bytes_the_server_has_are_brought_again(
    client: ClientFactory, bucket: str, repo_id: str, server: LiveServer
) -> None:
    data = sample("noise", 3 * MIB)
    ada = client()
    ada.upload(repo_id, "model.bin", data)
    put(ada, bucket, "same.bin", data)
    hf(ada, "buckets", "rm", f"{bucket}/same.bin", "--yes")
    put(ada, bucket, "later/same.bin", data)
    assert get(server, f"/buckets/{bucket}/resolve/later/same.bin", "ada")[2] == data
    assert get(server, f"/buckets/{bucket}/resolve/same.bin", "ada")[0] == 404


_FOLLOW = """
import json, sys, threading
from huggingface_hub import HfApi
from huggingface_hub._bucket_live_follow import _follow_events
from huggingface_hub.constants import ENDPOINT
bucket, path = sys.argv[1:]
seen, stop = [], threading.Event()
def on_ready():
    HfApi().batch_bucket_files(bucket, add=[(b"hello", path)])
for event in _follow_events(ENDPOINT, bucket, None, None, stop.is_set):
    seen.append(type(event).__name__)
    if seen == ["_Ready"]:
        threading.Thread(target=on_ready).start()
    if hasattr(event, "changes"):
        print(json.dumps([seen, [[c.op, c.path, c.size] for c in event.changes], event.cursor]))
        break
"""


def test_client_follows_changes(client: ClientFactory, bucket: str) -> None:
    seen, changes, cursor = run_python(_FOLLOW, client().env, bucket, "live/a.txt")
    assert seen == ["_Ready", "_Changes"]
    assert changes == [["add", "live/a.txt", 5]]
    assert cursor
