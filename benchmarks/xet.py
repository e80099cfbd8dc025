"""The chunk store: what an upload costs, what a change costs, what a download costs.

LLMOS_BENCH_MB=100 makes every file a tenth of its size, to try the benchmarks out.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.bench import MB, Bench, curl_seconds, memory_bytes, nginx
from benchmarks.report import Row
from benchmarks.xet_data import (
    SIZE,
    bf16,
    bf16_file,
    client,
    cpu_of_clients,
    cpu_of_server,
    create_repo,
    get_json,
    size_name,
    stored,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from xet_contract.relay import relaying

CLIENTS = 8
VARIANTS = 10
# Training rewrites whole tensors and rows, not single bytes all over the file. A chunk is about 64 KiB and
# is stored again when any byte of it changes, so 1 % in single bytes far apart would touch every chunk:
# no store of chunks can help there. Regions of this size stand for tensors.
REGION_BYTES = 4 * 1024 * 1024


def upload(bench: Bench) -> Iterator[Row]:
    """`hf upload` of a file the server has never seen, beside the client's own hashing of it."""
    name, ours, theirs, rates, own = size_name(SIZE), [], [], [], []
    for turn in range(2):
        path = bf16_file(bench.scratch / f"new-{turn}.bin", SIZE, seed=turn + 1)
        os.sync()  # what was prepared must not be written while something is measured
        repo, sender = create_repo(bench, f"ada/upload-{turn}"), client(bench, f"upload-{turn}")
        theirs.append(sender.hash_seconds(path))
        with cpu_of_server(bench) as used, cpu_of_clients() as spent:
            ours.append(sender.upload(repo, path))
        rates.append(SIZE / used[0] / MB)
        own.append(spent[0])
        path.unlink()
    yield Row(
        f"Xet upload of {name} bf16", f"{min(ours):.1f} s", f"hash_files {min(theirs):.1f} s",
        min(ours) / min(theirs), at_most=2.5,
    )  # fmt: skip
    # What the unmodified client computes by itself (SHA-256, chunks, compression), spread over all
    # processors: no server could be quicker.
    floor_s = min(own) / (os.cpu_count() or 1)
    yield Row(
        "… the client's own work, on all processors", f"{floor_s:.1f} s", f"hash_files {min(theirs):.1f} s",
        floor_s / min(theirs),
    )  # fmt: skip
    yield Row(
        "… the server's work, per CPU second", f"{max(rates):.0f} MB", "verifying 250 MB", max(rates) / 250
    )
    yield from _verify(bench)
    yield _wait(bench)


def _verify(bench: Bench) -> Iterator[Row]:
    """The verifier alone, over the xorbs just stored, in one thread."""
    from llmos.infra.xet.xorb import parse_xorb

    raw_bytes, used_s = 0, 0.0
    for path in sorted((bench.server.home / "objects" / "xorbs").rglob("*.*"))[:8]:
        data = path.read_bytes()
        started = time.process_time()
        parsed = parse_xorb(io.BytesIO(data))
        used_s += time.process_time() - started
        raw_bytes += parsed.raw_bytes
    rate = raw_bytes / used_s / MB
    yield Row("… verifying xorbs per CPU second", f"{rate:.0f} MB", "goal 250 MB", rate / 250, at_least=1.0)


def _wait(bench: Bench) -> Row:
    """Upload of bytes the server has: what is left is asking, the shard and the commit."""
    path = bf16_file(bench.scratch / "again.bin", SIZE, seed=1)
    repo, sender = create_repo(bench, "ada/again"), client(bench, "again")
    os.sync()
    with relaying(bench.server.port) as relay:
        known_s = sender.through(relay.url).upload(repo, path)
    path.unlink()
    return Row(
        "… nothing new to send: waiting for answers", f"{relay.waited_s:.2f} s", f"of {known_s:.1f} s in all",
        relay.waited_s / known_s, at_most=0.1,
    )  # fmt: skip


def change(bench: Bench) -> Iterator[Row]:
    """Upload a file again with 1 % of its bytes changed in place; then with 100 bytes put before it."""
    path = bf16_file(bench.scratch / "model.bin", SIZE, seed=7)
    repo, sender = create_repo(bench, "ada/changing"), client(bench, "changing")
    with relaying(bench.server.port) as relay:
        same = sender.through(relay.url)
        same.upload(repo, path)
        _change_in_place(path)
        for label, limit in (
            (f"1 % changed, in {_regions()} places", 0.03),
            ("100 bytes put in front", 0.01),
        ):
            if limit == 0.01:
                _put_in_front(path)
            relay.sent.clear()
            before = stored(bench)[1]
            same.upload(repo, path)
            sent = sum(relay.sent[kind] for kind in ("xorbs", "shards"))
            share, kept = sent / SIZE, (stored(bench)[1] - before) / SIZE
            yield Row(f"{label}: sent", f"{share:.2%}", f"limit {limit:.0%}", share / limit, at_most=1.0)
            yield Row(f"{label}: stored", f"{kept:.2%}", f"limit {limit:.0%}", kept / limit, at_most=1.0)


def _regions() -> int:
    return max(1, round(SIZE / 100 / REGION_BYTES))


def _change_in_place(path: Path) -> None:
    count = _regions()
    with path.open("r+b") as out:
        for number in range(count):
            out.seek((2 * number + 1) * SIZE // (2 * count) // 4096 * 4096)
            out.write(bf16(SIZE // 100 // count, 900 + number))


def _put_in_front(path: Path) -> None:
    with path.open("rb") as source, path.with_suffix(".new").open("wb") as out:
        out.write(bytes(range(100)))
        while piece := source.read(8 * 1024 * 1024):
            out.write(piece)
    path.with_suffix(".new").replace(path)


def variants(bench: Bench) -> Iterator[Row]:
    """Ten checkpoints of one model, fine-tuned with the lower half of its layers frozen."""
    folder, repo = bench.scratch / "variants", create_repo(bench, "ada/variants")
    folder.mkdir()
    sender = client(bench, "variants")
    frozen, tuned = 0, 0
    for number in range(VARIANTS):
        path = folder / "model.safetensors"
        frozen, tuned = _fine_tune(path, number, SIZE // VARIANTS)
        sender.upload(repo, path, f"variant-{number}.safetensors")
    unique = frozen + VARIANTS * tuned
    raw, packed = stored(bench)
    total = VARIANTS * (frozen + tuned)
    beside = f"unique {unique / MB:.0f} MB of {total / MB:.0f}"
    yield Row("ten variants, before compression", f"{raw / MB:.0f} MB", beside, raw / unique, at_most=1.05)
    yield Row("ten variants, on disk", f"{packed / MB:.0f} MB", beside, packed / unique, at_most=1.05)


def _fine_tune(path: Path, number: int, size_bytes: int) -> tuple[int, int]:
    """Write one variant with torch: (bytes of the frozen tensors, bytes of the others)."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    layers, width = 8, int((size_bytes / 2 / 8) ** 0.5) // 64 * 64
    names = [f"model.layers.{layer}.weight" for layer in range(layers)]
    model: dict[str, Any] = {
        name: torch.nn.Parameter((torch.randn(width, width) * 0.02).bfloat16()) for name in names
    }
    trained = [model[name] for name in names[layers // 2 :]]
    torch.manual_seed(100 + number)
    step = torch.optim.SGD(trained, lr=0.1)
    for weight in trained:
        weight.grad = torch.randn(width, width).bfloat16()
    step.step()
    save_file({name: weight.detach() for name, weight in model.items()}, path)
    half = width * width * 2 * layers // 2
    return half, half


def download(bench: Bench) -> Iterator[Row]:
    """Packed ranges of a file as clients fetch them, beside nginx and the same ranges of the same files."""
    path = bf16_file(bench.scratch / "down.bin", SIZE, seed=3)
    repo = create_repo(bench, "ada/down")
    client(bench, "down").upload(repo, path)
    os.sync()
    url = f"{bench.server.url}/{repo}/resolve/main/model.bin"
    yield from _plain(bench, url, path)
    parts = _packed_parts(bench, repo)
    size = sum(end + 1 - start for _, _, start, end in parts)
    ours = [(link, start, end) for link, _, start, end in parts]
    with nginx(bench.scratch, bench.server.home / "objects" / "xorbs") as peer:
        theirs = [(f"{peer}/{name}", start, end) for _, name, start, end in parts]
        our_s, their_s = [], []
        for _ in range(5):
            their_s.append(_fetch(theirs))
            our_s.append(_fetch(ours))
    yield Row(
        f"Xet download of {size_name(SIZE)}, packed", f"{size / min(our_s) / MB:.0f} MB/s",
        f"nginx {size / min(their_s) / MB:.0f} MB/s", min(their_s) / min(our_s), at_least=0.5,
    )  # fmt: skip


def _plain(bench: Bench, url: str, source: Path) -> Iterator[Row]:
    """By curl: first made from chunks, then from the raw copy that reading it left."""
    with cpu_of_server(bench) as used:
        curl_seconds(url)
    rate = SIZE / used[0] / MB
    yield Row(
        "plain download, cold, per CPU second", f"{rate:.0f} MB", "goal 200 MB", rate / 200, at_least=1.0
    )
    www = bench.scratch / "www"
    www.mkdir()
    source.rename(www / "w.bin")
    our_s, their_s = [], []
    with nginx(bench.scratch, www) as peer:
        for _ in range(5):
            their_s.append(curl_seconds(f"{peer}/w.bin"))
            our_s.append(curl_seconds(url))
    yield Row(
        f"plain download of {size_name(SIZE)}, hot", f"{SIZE / min(our_s) / MB:.0f} MB/s",
        f"nginx {SIZE / min(their_s) / MB:.0f} MB/s", min(their_s) / min(our_s), at_least=0.6,
    )  # fmt: skip


def _packed_parts(bench: Bench, repo: str) -> list[tuple[str, str, int, int]]:
    """(signed link, path below `xorbs`, first byte, last byte) of everything the file needs."""
    info = get_json(f"{bench.server.url}/api/models/{repo}/tree/main", bench.token)
    file_hash = next(item["xetHash"] for item in info if item["path"] == "model.bin")
    access = get_json(f"{bench.server.url}/api/models/{repo}/xet-read-token/main", bench.token)
    plan = get_json(f"{access['casUrl']}/v2/reconstructions/{file_hash}", access["accessToken"])
    root = bench.server.home / "objects" / "xorbs"
    parts = []
    for xorb_hash, links in plan["xorbs"].items():
        path = next((root / xorb_hash[:2]).glob(f"{xorb_hash}.*"))
        for link in links:
            for item in link["ranges"]:
                span = item["bytes"]
                parts.append((link["url"], str(path.relative_to(root)), span["start"], span["end"]))
    return parts


def _fetch(parts: list[tuple[str, int, int]]) -> float:
    """Seconds of fetching the ranges, four at once."""

    def fetch(part: tuple[str, int, int]) -> None:
        url, start, end = part
        assert urlsplit(url).hostname == "127.0.0.1", url
        curl_seconds(url, "-r", f"{start}-{end}")

    started = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fetch, parts))
    return time.perf_counter() - started


def memory(bench: Bench) -> Iterator[Row]:
    """The server's proportional memory at its highest while eight clients upload at once."""
    paths = [bf16_file(bench.scratch / f"m{n}.bin", SIZE // 4, seed=50 + n) for n in range(CLIENTS)]
    repos = [create_repo(bench, f"ada/many-{number}") for number in range(CLIENTS)]
    highest = before = memory_bytes(bench.server.process.pid)
    with ThreadPoolExecutor(CLIENTS) as pool:
        under_way = [
            pool.submit(client(bench, f"m{number}").upload, repo, path)
            for number, (repo, path) in enumerate(zip(repos, paths, strict=True))
        ]
        while not all(task.done() for task in under_way):
            highest = max(highest, memory_bytes(bench.server.process.pid))
            time.sleep(0.1)
        for task in under_way:
            task.result()
    yield Row(
        f"memory while {CLIENTS} clients upload {size_name(SIZE // 4)} each", f"{highest / MB:.0f} MB",
        f"idle {before / MB:.0f}, limit 600 MB", highest / MB / 600, at_most=1.0,
    )  # fmt: skip
