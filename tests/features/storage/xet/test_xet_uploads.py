"""What the store takes, what it refuses, and that refusals tell nothing about others."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import lz4.frame
import pytest
from sqlalchemy import event, func, select

from features.storage.xet.conftest import CHUNK_BYTES, Made, Store, make_file, object_path
from llmos.core.errors import Unavailable
from llmos.features.accounts.models import Namespace
from llmos.features.repos.claims import get_claims, used_bytes
from llmos.features.repos.models import Repo
from llmos.features.repos.xet_claims import verify_claims
from llmos.features.storage.xet.models import XetFile, XetXorb
from llmos.features.storage.xet.reading import stream_file
from llmos.features.storage.xet.xorbs import touch_xorbs
from llmos.infra.runtime import Runtime
from llmos.infra.xet.hashes import hash_range, to_hex
from llmos.infra.xet.merkle import file_hash
from llmos.infra.xet.shard import ShardFile, ShardTerm, ShardXorb
from llmos.infra.xet.shard_writer import write_shard
from llmos.protocols.xet import uploads

MakeRepo = Callable[..., str]


@pytest.fixture
def ada(store: Store, make_repo: MakeRepo) -> str:
    """Ada's write token for a private repository."""
    return store.token("ada", make_repo("ada", "tiny-llm", private=True))


def stored_counts(rt: Runtime) -> tuple[int, int]:
    with rt.database.reading() as db:
        xorbs = db.scalar(select(func.count()).select_from(XetXorb))
        files = db.scalar(select(func.count()).select_from(XetFile))
    return xorbs or 0, files or 0


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("scheme", [0, 1, 2])
def test_upload_is_stored_verified_and_claimed(store: Store, rt: Runtime, ada: str, scheme: int) -> None:
    made = make_file(1, scheme=scheme)
    assert store.upload(ada, made) == (200, '{"result":1}')
    assert object_path(rt, made.xorb_hash).read_bytes() == made.xorb
    with rt.database.reading() as db:
        repo_id = db.scalar(select(Repo.id)) or 0
        claims = get_claims(db, repo_id, [str(made.file.sha256)])
        assert claims[str(made.file.sha256)].xet_hash == made.file_hash
        assert db.get_one(XetFile, made.file_hash).sha256 == made.file.sha256
    assert not list(rt.settings.tmp_root.iterdir())


def test_v2_shard_ends_with_result(store: Store, ada: str) -> None:
    made = make_file(1)
    store.post(f"/v1/xorbs/default/{made.xorb_hash}", ada, made.xorb)
    status, text = store.post("/v2/shards", ada, made.shard())
    assert status == 200
    assert events(text)[-1] == {"type": "result", "result": 1}


def test_v2_shard_tells_that_it_is_alive(
    store: Store, rt: Runtime, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients give up on an answer that is silent for 300 s; here the database keeps it waiting."""
    made, told, answers = make_file(1), threading.Event(), []
    store.post(f"/v1/xorbs/default/{made.xorb_hash}", ada, made.xorb)
    tell = uploads._Registration.progress

    def progress(registration: uploads._Registration) -> dict[str, object]:
        told.set()
        return tell(registration)

    monkeypatch.setattr(uploads, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(uploads._Registration, "progress", progress)
    sender = threading.Thread(target=lambda: answers.append(store.post("/v2/shards", ada, made.shard())))
    with rt.database.writing() as db:
        touch_xorbs(db, [made.xorb_hash])  # locks it
        sender.start()
        assert told.wait(30)
    sender.join()
    ((status, text),) = answers
    *progressing, last = events(text)
    assert (status, last) == (200, {"type": "result", "result": 1})
    assert progressing
    for line in progressing:
        assert line["type"] == "validating"
        assert 0 <= int(str(line["verified"])) <= max(int(str(line["total"])), 0)


def test_uploads_at_once_are_few_and_the_rest_is_asked_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "WAIT_S", 0.01)
    slots = uploads._Slots(1, "xorbs")

    async def two_at_once() -> None:
        async with slots.taken():
            with pytest.raises(Unavailable, match="Too many xorbs") as refused:
                async with slots.taken():
                    raise AssertionError
            assert refused.value.data["retry_after_s"] > 0
        async with slots.taken():
            pass

    asyncio.run(two_at_once())


def test_reading_takes_little_memory_whatever_the_size(store: Store, rt: Runtime, ada: str) -> None:
    made = make_file(1, chunk_count=1500, scheme=0)
    assert store.upload(ada, made)[0] == 200
    digest = hashlib.sha256()
    tracemalloc.start()
    try:
        for piece in stream_file(rt, made.file_hash):
            digest.update(piece)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert digest.hexdigest() == made.file.sha256
    assert peak_bytes < len(made.data) / 4


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_older_spellings_of_addresses(store: Store, ada: str, prefix: str) -> None:
    made = make_file(1)
    assert store.post(f"{prefix}/xorbs/default/{made.xorb_hash}", ada, made.xorb)[0] == 200
    assert store.post(f"{prefix}/shards", ada, made.shard())[0] == 200
    assert store.get(f"{prefix}/reconstructions/{made.file_hash}", ada)[0] == 200


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body[:-1],
        lambda body: body[:5],
        lambda body: b"",
        lambda body: body[:100] + bytes([body[100] ^ 1]) + body[101:],
        lambda body: body[:5] + struct.pack("<I", 0xFFFFFF)[:3] + body[8:],
        lambda body: body + body,
        lambda body: body[: len(body) // 2] + b"XETBLOB",
    ],
    ids=["cut", "cut in header", "empty", "flipped", "lying length", "doubled", "footer too early"],
)
@pytest.mark.parametrize("scheme", [0, 1])
def test_bad_xorb_leaves_nothing(
    store: Store, rt: Runtime, ada: str, spoil: Callable[[bytes], bytes], scheme: int
) -> None:
    made = make_file(2, scheme=scheme)
    status, _ = store.post(f"/v1/xorbs/default/{made.xorb_hash}", ada, spoil(made.xorb))
    assert status == 400
    assert stored_counts(rt) == (0, 0)
    assert not list(rt.objects.list("xorbs"))
    assert not list(rt.settings.tmp_root.iterdir())


@pytest.mark.parametrize("scheme", [1, 2])
def test_decompression_bomb_is_refused_and_stays_small(
    store: Store, rt: Runtime, ada: str, scheme: int
) -> None:
    unfolded = 60 * 1024 * 1024
    frame = lz4.frame.compress(bytes(unfolded), block_size=lz4.frame.BLOCKSIZE_MAX4MB)
    header = b"\0" + len(frame).to_bytes(3, "little") + bytes([scheme]) + (131_072).to_bytes(3, "little")
    tracemalloc.start()
    try:
        status, _ = store.post(f"/v1/xorbs/default/{make_file(2).xorb_hash}", ada, header + frame)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert status == 400
    assert peak_bytes < unfolded / 4
    assert stored_counts(rt) == (0, 0)


def test_what_no_file_uses_yet_counts_against_the_quota(store: Store, rt: Runtime, ada: str) -> None:
    first, second = make_file(1, scheme=0), make_file(2, scheme=0)

    def used() -> int:
        with rt.database.reading() as db:
            return used_bytes(db, ada_id)

    with rt.database.writing() as db:
        ada_id = db.scalars(select(Namespace.id).where(Namespace.name == "ada")).one()
        db.get_one(Namespace, ada_id).quota_bytes = len(first.xorb) + len(second.xorb) - 1
    assert store.post(f"/v1/xorbs/default/{first.xorb_hash}", ada, first.xorb)[0] == 200
    assert used() == len(first.xorb)
    status, text = store.post(f"/v1/xorbs/default/{second.xorb_hash}", ada, second.xorb)
    assert (status, "quota" in text) == (413, True)
    body = json.dumps({"length": len(second.xorb)}).encode()
    # The client shows why a xorb is refused, but not why a grant is: so it is sent there.
    assert store.post(f"/v1/xorb-grants/default/{second.xorb_hash}", ada, body)[0] == 404
    assert stored_counts(rt) == (1, 0)
    assert (
        store.post(
            "/v1/shards",
            ada,
            write_shard([], [ShardXorb.from_table(first.parsed.xorb_hash, first.parsed.table())]),
        )[0]
        == 200
    )
    assert used() == len(first.xorb), "to name a xorb without a file that uses it changes nothing"
    assert store.post("/v1/shards", ada, first.shard())[0] == 200
    assert used() == len(first.data), "counted once, as a file"


def test_xorb_under_a_wrong_or_malformed_name(store: Store, ada: str) -> None:
    made = make_file(2)
    for name in (make_file(3).xorb_hash, "0" * 64, "zz", made.xorb_hash.upper()):
        assert store.post(f"/v1/xorbs/default/{name}", ada, made.xorb)[0] == 400


def test_too_large_xorb_is_refused_before_it_is_read(store: Store, ada: str) -> None:
    made = make_file(2)
    headers = {"Authorization": f"Bearer {ada}", "Content-Length": str(2**40)}
    answer = store.http.post(f"/cas/v1/xorbs/default/{made.xorb_hash}", content=b"x", headers=headers)
    assert answer.status_code == 413


def test_footer_is_cut_off(store: Store, rt: Runtime, ada: str) -> None:
    made = make_file(2)
    body = made.xorb + b"XETBLOB" + bytes(50)
    assert store.post(f"/v1/xorbs/default/{made.xorb_hash}", ada, body)[0] == 200
    assert object_path(rt, made.xorb_hash).read_bytes() == made.xorb


def lies() -> dict[str, Callable[[Made], bytes]]:
    def other_terms(made: Made, **changes: int) -> bytes:
        return made.shard(terms=[replace(made.file.terms[0], **changes)])

    return {
        "wrong proof": lambda made: made.shard(verification=[bytes(32)]),
        "no proof": lambda made: made.shard(verification=None),
        "beyond the xorb": lambda made: other_terms(made, chunk_end=5),
        "wrong length": lambda made: other_terms(made, raw_bytes=made.file.terms[0].raw_bytes - 1),
        "another file hash": lambda made: made.shard(file_hash=bytes(range(32))),
        "no terms": lambda made: made.shard(terms=[], verification=[]),
    }


@pytest.mark.parametrize("lie", lies())
def test_lying_shard_is_refused(store: Store, rt: Runtime, ada: str, lie: str) -> None:
    made = make_file(4)
    store.post(f"/v1/xorbs/default/{made.xorb_hash}", ada, made.xorb)
    body = lies()[lie](made)
    assert store.post("/v1/shards", ada, body)[0] == 400
    status, text = store.post("/v2/shards", ada, body)
    last = events(text)[-1]
    assert (status, last["type"], last["retryable"]) == (200, "error", False)
    assert "HF_HOME" in str(last["message"])
    assert stored_counts(rt) == (1, 0)


@pytest.mark.parametrize("body", [b"", b"x" * 47, bytes(48), bytes(480)])
def test_bytes_that_are_no_shard(store: Store, ada: str, body: bytes) -> None:
    assert store.post("/v1/shards", ada, body)[0] == 400


def test_cut_shard(store: Store, ada: str) -> None:
    made = make_file(4)
    store.post(f"/v1/xorbs/default/{made.xorb_hash}", ada, made.xorb)
    body = made.shard()
    for end in range(48, len(body), 48):
        assert store.post("/v1/shards", ada, body[:end])[0] == 400


def test_shard_that_costs_too_much_is_refused_at_once(store: Store, ada: str) -> None:
    made = make_file(4)
    term = ShardTerm(made.parsed.xorb_hash, 8192, 0, 8192)
    file = ShardFile(bytes(32), [term] * 1000, [bytes(32)] * 1000, "0" * 64)
    status, text = store.post("/v1/shards", ada, write_shard([file]))
    assert status == 400
    assert "too small" in text


def test_false_sha256_of_a_small_file_is_refused(store: Store, rt: Runtime, ada: str) -> None:
    made = make_file(5)
    status, text = store.upload(ada, made, sha256="a" * 64)
    assert status == 400
    assert "SHA-256" in text
    with rt.database.reading() as db:
        assert not get_claims(db, db.scalar(select(Repo.id)) or 0, ["a" * 64])


def test_many_small_files_are_hashed_in_one_transaction(store: Store, rt: Runtime, ada: str) -> None:
    """The uploader waits for this: each commit of its own would cost one more write to the disk."""
    made = make_file(5, chunk_count=40)
    assert store.post(f"/v1/xorbs/default/{made.xorb_hash}", ada, made.xorb)[0] == 200
    table = made.parsed.table()
    files = []
    for index in range(40):
        term = ShardTerm(made.parsed.xorb_hash, CHUNK_BYTES, index, index + 1)
        data = made.data[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        proof = hash_range(table.hashes(index, index + 1))
        name = file_hash(table.nodes(index, index + 1))
        files.append(ShardFile(name, [term], [proof], hashlib.sha256(data).hexdigest()))
    commits: list[object] = []
    event.listen(rt.database.engine, "commit", commits.append)
    body = write_shard(files, [ShardXorb.from_table(made.parsed.xorb_hash, table)])
    assert store.post("/v1/shards", ada, body)[0] == 200
    assert len(commits) < 10
    with rt.database.reading() as db:
        assert set(db.scalars(select(XetFile.sha256))) == {file.sha256 for file in files}
        repo_id = db.scalar(select(Repo.id)) or 0
        assert len(get_claims(db, repo_id, [str(file.sha256) for file in files])) == 40


def test_false_sha256_of_a_large_file_loses_its_claim(
    store: Store, rt: Runtime, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmos.features.repos.xet_claims.INLINE_BYTES", 0)
    honest, liar = make_file(5), make_file(6)
    assert store.upload(ada, honest)[0] == 200
    assert store.upload(ada, liar, sha256="a" * 64)[0] == 200
    assert verify_claims(rt) == [liar.file_hash]
    with rt.database.reading() as db:
        repo_id = db.scalar(select(Repo.id)) or 0
        assert list(get_claims(db, repo_id, ["a" * 64, str(honest.file.sha256)])) == [honest.file.sha256]
    assert verify_claims(rt) == []


def test_true_file_takes_the_place_of_a_false_claim(
    store: Store, rt: Runtime, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmos.features.repos.xet_claims.INLINE_BYTES", 0)
    honest, liar = make_file(5), make_file(6, chunk_count=5)
    assert store.upload(ada, liar, sha256=honest.file.sha256)[0] == 200
    assert store.upload(ada, honest)[0] == 200
    with rt.database.reading() as db:
        oid = str(honest.file.sha256)
        row = get_claims(db, db.scalar(select(Repo.id)) or 0, [oid])[oid]
        assert (row.xet_hash, row.size_bytes) == (honest.file_hash, len(honest.data))


def test_missing_and_unproved_xorbs_read_the_same(store: Store, make_repo: MakeRepo, ada: str) -> None:
    """Grace cannot tell whether ada has stored something, however much of its name she knows."""
    grace = store.token("grace", make_repo("grace", "probe"))
    stored, missing = make_file(7), make_file(8)
    assert store.upload(ada, stored)[0] == 200
    answers = set()
    for made in (stored, missing):
        assert store.post(f"/v1/xorb-grants/default/{made.xorb_hash}", grace)[0] == 404
        chunk = to_hex(made.parsed.records[0].hash)
        assert store.get(f"/v1/chunks/default/{chunk}", grace)[0] == 404
        assert store.get(f"/v1/reconstructions/{made.file_hash}", grace)[0] == 404
        forged = ShardFile(made.file.file_hash, made.file.terms, [bytes(32)], made.file.sha256)
        answers.add(store.post("/v1/shards", grace, write_shard([forged])))
        status, text = store.post(f"/v1/xorbs/default/{made.xorb_hash}", grace, made.xorb)
        assert (status, text) == (200, '{"was_inserted":true}')
    assert len(answers) == 1
    assert answers.pop()[0] == 400


def test_own_namespace_learns_what_it_has(store: Store, make_repo: MakeRepo, ada: str) -> None:
    made = make_file(7)
    assert store.upload(ada, made)[0] == 200
    other_repo = store.token("ada", make_repo("ada", "second"))
    assert store.post(f"/v1/xorb-grants/default/{made.xorb_hash}", other_repo)[0] == 200
    for prefix in ("default", "default-merkledb"):
        chunk = to_hex(made.parsed.records[0].hash)
        status, shard = store.get(f"/v1/chunks/{prefix}/{chunk}", other_repo)
        assert status == 200
        assert made.parsed.xorb_hash in shard
        assert made.parsed.records[0].hash not in shard  # hidden by the key of the namespace


def test_proof_of_chunks_is_enough_in_another_namespace(store: Store, make_repo: MakeRepo, ada: str) -> None:
    """A client that uploaded to one namespace does not send the same bytes to the next."""
    made = make_file(7)
    assert store.upload(ada, made)[0] == 200
    grace = store.token("grace", make_repo("grace", "copy"))
    assert store.post("/v1/shards", grace, made.shard())[0] == 200
    assert store.get(f"/v1/reconstructions/{made.file_hash}", grace)[0] == 200


def test_one_known_chunk_opens_no_view_of_its_neighbours(store: Store, make_repo: MakeRepo, ada: str) -> None:
    """Grace holds a chunk of ada's file, and even the name of its xorb."""
    made = make_file(7)
    assert store.upload(ada, made)[0] == 200
    grace = store.token("grace", make_repo("grace", "probe"))
    table = made.parsed.table()
    term = ShardTerm(made.parsed.xorb_hash, table.raw_bytes(0, 1), 0, 1)
    part = ShardFile(file_hash(table.nodes(0, 1)), [term], [hash_range(table.hashes(0, 1))], None)
    assert store.post("/v1/shards", grace, write_shard([part]))[0] == 200
    chunk = to_hex(made.parsed.records[0].hash)
    assert store.get(f"/v1/chunks/default/{chunk}", grace)[0] == 404
    assert store.post(f"/v1/xorb-grants/default/{made.xorb_hash}", grace)[0] == 404
    assert store.post("/v1/shards", grace, made.shard())[0] == 200  # now she has shown to know all
    status, shard = store.get(f"/v1/chunks/default/{chunk}", grace)
    assert status == 200
    # Xorbs and their hidden chunks, nothing of any file.
    assert made.file.file_hash not in shard
    assert bytes.fromhex(str(made.file.sha256)) not in shard
    assert store.get(f"/v1/chunks/default/{chunk}", ada)[1] != shard  # each namespace has its own key


def test_known_file_keeps_its_first_layout(store: Store, rt: Runtime, ada: str) -> None:
    made = make_file(9)
    assert store.upload(ada, made)[0] == 200
    table = made.parsed.table()
    halves = [
        ShardTerm(made.parsed.xorb_hash, table.raw_bytes(0, 2), 0, 2),
        ShardTerm(made.parsed.xorb_hash, table.raw_bytes(2, 4), 2, 4),
    ]
    proofs = [hash_range(table.hashes(0, 2)), hash_range(table.hashes(2, 4))]
    assert store.post("/v1/shards", ada, made.shard(terms=halves, verification=proofs))[0] == 200
    with rt.database.reading() as db:
        assert len(db.get_one(XetFile, made.file_hash).terms) == 44


def test_file_of_many_pieces_and_repeats(store: Store, rt: Runtime, ada: str) -> None:
    first, second = make_file(10), make_file(11)
    for made in (first, second):
        store.post(f"/v1/xorbs/default/{made.xorb_hash}", ada, made.xorb)
    parts = [(first, 0, 2), (second, 1, 4), (first, 0, 2), (first, 3, 4)]
    terms, proofs, nodes, data = [], [], [], b""
    for made, start, end in parts:
        table = made.parsed.table()
        terms.append(ShardTerm(made.parsed.xorb_hash, table.raw_bytes(start, end), start, end))
        proofs.append(hash_range(table.hashes(start, end)))
        nodes += table.nodes(start, end)
        data += made.data[start * 16384 : end * 16384]
    file = ShardFile(file_hash(nodes), terms, proofs, None)
    assert store.post("/v1/shards", ada, write_shard([file]))[0] == 200
    name = to_hex(file.file_hash)
    for start, end in [(0, len(data)), (1, 2), (30_000, 90_000), (len(data) - 5, len(data) + 5)]:
        assert b"".join(stream_file(rt, name, start, end)) == data[start:end]


def test_overlapping_terms_are_fetched_once(store: Store, rt: Runtime, ada: str) -> None:
    made = make_file(12)
    store.post(f"/v1/xorbs/default/{made.xorb_hash}", ada, made.xorb)
    table = made.parsed.table()
    spans = [(0, 3), (1, 4), (2, 3), (0, 4)]
    terms = [ShardTerm(made.parsed.xorb_hash, table.raw_bytes(a, b), a, b) for a, b in spans]
    nodes = [node for a, b in spans for node in table.nodes(a, b)]
    proofs = [hash_range(table.hashes(a, b)) for a, b in spans]
    file = ShardFile(file_hash(nodes), terms, proofs, None)
    assert store.post("/v1/shards", ada, write_shard([file]))[0] == 200
    name = to_hex(file.file_hash)
    data = b"".join(made.data[a * 16384 : b * 16384] for a, b in spans)
    assert b"".join(stream_file(rt, name)) == data
    plan = json.loads(store.get(f"/v2/reconstructions/{name}", ada)[1])
    assert [(term["range"]["start"], term["range"]["end"]) for term in plan["terms"]] == spans
    (fetch,) = plan["xorbs"][made.xorb_hash]
    assert fetch["ranges"] == [
        {"chunks": {"start": 0, "end": 4}, "bytes": {"start": 0, "end": len(made.xorb) - 1}}
    ]
    for asked in ("bytes=0-9,5-20", "bytes=20-5", "bytes=a-b", "0-5"):
        assert store.http.get(fetch["url"], headers={"Range": asked}).status_code == 416
