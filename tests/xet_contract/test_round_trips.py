"""Files go up and come down through every way a client has, byte for byte."""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from kit.programs import run_python
from kit.runners import wait_until
from kit.server import LiveServer
from xet_contract.conftest import ClientFactory, sample, sha256

MIB = 1024 * 1024

_LOOK = """
import json, sys
from huggingface_hub import HfApi, HfFileSystem, get_hf_file_metadata, hf_hub_url
repo, path = sys.argv[1:]
entry = HfApi().get_paths_info(repo, [path])[0]
head = get_hf_file_metadata(hf_hub_url(repo, path))
with HfFileSystem().open(f"{repo}/{path}", block_size=100_000) as file:
    file.seek(3_000_001)
    piece = file.read(200_000)
print(json.dumps({
    "sha256": entry.lfs.sha256, "tree_xet": entry.xet_hash, "etag": head.etag, "size": head.size,
    "head_xet": head.xet_file_data.file_hash, "piece": piece.hex(),
}))
"""


def get(server: LiveServer, path: str, person: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """A plain GET, as curl does it."""
    headers["Authorization"] = f"Bearer {server.tokens[person]}"
    request = urllib.request.Request(server.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_file_comes_back_with_and_without_xet(
    client: ClientFactory, repo_id: str, server: LiveServer
) -> None:
    data = sample("bf16", 20 * MIB)
    client().upload(repo_id, "model.bin", data)
    assert client().download(repo_id, "model.bin") == data
    for _ in range(2):  # from the chunks, then from the cache of hot files
        assert client(HF_HUB_DISABLE_XET="1").download(repo_id, "model.bin") == data
    assert any((server.home / "cache" / "xet").rglob(get_xet_hash(server, repo_id, "model.bin")))


def get_xet_hash(server: LiveServer, repo_id: str, path: str) -> str:
    _, headers, _ = get(server, f"/{repo_id}/resolve/main/{path}", "ada", Range="bytes=0-0")
    return headers["x-xet-hash"]


def test_folder_of_several_xorbs_comes_back_as_snapshot(client: ClientFactory, repo_id: str) -> None:
    files = {
        "weights/big.bin": sample("noise", 80 * MIB, seed=1),
        "weights/small.bin": sample("bf16", 3 * MIB, seed=2),
        "data/rows.parquet": sample("noise", 300_000, seed=3),
        "notes.txt": b"small and regular\n",
    }
    uploader = client()
    for name, data in files.items():
        uploader.write(f"folder/{name}", data)
    uploader.call(("upload_folder", {"repo_id": repo_id, "folder_path": str(uploader.folder / "folder")}))
    for reader in (client(), client(HF_HUB_DISABLE_XET="1")):
        found = Path(reader.call(("snapshot_download", {"repo_id": repo_id}))[0])
        for name, data in files.items():
            assert (found / name).read_bytes() == data, name


def test_metadata_and_ranges_agree(client: ClientFactory, repo_id: str) -> None:
    data = sample("bf16", 5 * MIB, seed=4)
    ada = client()
    ada.upload(repo_id, "model.bin", data)
    seen = run_python(_LOOK, ada.env, repo_id, "model.bin")
    assert seen["sha256"] == seen["etag"] == sha256(data)
    assert seen["size"] == len(data)
    assert seen["tree_xet"] == seen["head_xet"]
    assert bytes.fromhex(seen["piece"]) == data[3_000_001:3_200_001]


def test_plain_ranges_are_exact(client: ClientFactory, repo_id: str, server: LiveServer) -> None:
    data = sample("noise", 5 * MIB, seed=5)
    client().upload(repo_id, "model.bin", data)
    path = f"/{repo_id}/resolve/main/model.bin"
    for start, last in [(0, 0), (1, 65_536), (4_000_000, 5_242_879), (0, len(data) - 1)]:
        status, headers, body = get(server, path, "ada", Range=f"bytes={start}-{last}")
        assert (status, body) == (206, data[start : last + 1])
        assert headers["content-range"] == f"bytes {start}-{last}/{len(data)}"
    assert get(server, path, "ada", Range="bytes=-10")[2] == data[-10:]
    assert get(server, path, "ada", Range=f"bytes={len(data)}-")[0] == 416
    assert get(server, path, "grace")[0] == 404
    # Damage met on the way breaks the answer off: never a whole one with other bytes, nor a shorter one.
    # The copy for later readers of a whole file comes into place after its last byte was sent.
    name = get_xet_hash(server, repo_id, "model.bin")
    hot = server.home / "cache" / "xet" / name[:2] / name
    wait_until(hot.exists)
    hot.unlink()
    stored = max((server.home / "objects" / "xorbs").rglob("*.*"), key=lambda path: path.stat().st_mtime)
    with stored.open("r+b") as xorb:
        xorb.seek(4 * MIB)
        xorb.write(bytes(64))
    with pytest.raises(http.client.IncompleteRead) as broken:
        get(server, path, "ada")
    assert data.startswith(broken.value.partial)
    assert [get(server, path, "ada", **part)[0] for part in ({}, {"Range": "bytes=0-9"})] == [403, 403]


def test_two_clients_upload_the_same_file_at_once(client: ClientFactory, repo_id: str) -> None:
    data = sample("bf16", 12 * MIB, seed=6)
    failures: list[BaseException] = []

    def upload(path: str) -> None:
        try:
            client().upload(repo_id, path, data)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=upload, args=(f"copy-{i}.bin",)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    reader = client()
    assert reader.download(repo_id, "copy-0.bin") == reader.download(repo_id, "copy-1.bin") == data


@pytest.mark.parametrize("repo_type", ["dataset"])
def test_pull_request_of_a_reader(client: ClientFactory, repo_type: str) -> None:
    """Whoever may open a pull request may bring large files with it."""
    name = "ada/xet-open-data"
    client().call(("create_repo", {"repo_id": name, "repo_type": repo_type}))
    client().upload(name, "README.md", b"# Rows\n", repo_type=repo_type)
    data = sample("noise", 400_000, seed=7)
    client("grace").upload(name, "rows.parquet", data, repo_type=repo_type, create_pr=True)
    assert client("grace").download(name, "rows.parquet", repo_type=repo_type, revision="refs/pr/1") == data
