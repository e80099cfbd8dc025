"""The same store over an S3-compatible bucket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from starlette.testclient import TestClient

from features.storage.xet.conftest import Made, Store, make_file
from kit.people import add_people
from llmos.app.asgi import create_app
from llmos.app.schema import ensure_schema
from llmos.features.auth.credentials import actor_for_token
from llmos.features.repos.lifecycle import create_repo
from llmos.features.storage.xet import grants
from llmos.features.storage.xet.grants import drop_stale_grants
from llmos.features.storage.xet.reading import stream_file
from llmos.features.storage.xet.scrub import scrub
from llmos.features.storage.xet.tables import XetQuarantined
from llmos.infra.blobs.presign import sign_put
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings


@pytest.fixture
def bucket_rt(tmp_path: Path) -> Iterator[Runtime]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}".replace("0.0.0.0", "127.0.0.1")
    httpx.post(f"{endpoint}/moto-api/reset").raise_for_status()  # its objects outlive the server
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=endpoint, **keys)
    client.create_bucket(Bucket="chunks")
    client.close()
    settings = Settings(
        home=tmp_path / "home",
        rate_limits=False,
        storage_url="s3://chunks/llmos",
        storage_endpoint=endpoint,
        storage_access_key="k",
        storage_secret_key="s",
        storage_presign=True,
    )
    rt = open_runtime(settings)
    ensure_schema(rt)
    yield rt
    rt.close()
    server.stop()


@pytest.fixture
def bucket_store(bucket_rt: Runtime) -> Iterator[Store]:
    """The application over the bucket, with a repository of ada's and one of grace's."""
    tokens = add_people(bucket_rt)
    with bucket_rt.database.writing() as db:
        for person in ("ada", "grace"):
            create_repo(db, actor_for_token(db, tokens[person]), bucket_rt, name=f"{person}/tiny-llm")
    with TestClient(create_app(runtime=bucket_rt), base_url="http://testserver") as http:
        yield Store(http, tokens)


def keys(rt: Runtime, prefix: str = "") -> list[str]:
    return [meta.key for meta in rt.objects.list(prefix)]


def ask_grant(store: Store, token: str, made: Made) -> dict[str, str]:
    body = json.dumps({"length": len(made.xorb), "checksum": {"algo": "crc64nvme", "value": "1"}}).encode()
    status, text = store.post(f"/v1/xorb-grants/default/{made.xorb_hash}", token, body)
    assert status == 201, text
    grant: dict[str, str] = json.loads(text)
    return grant


def put(grant: dict[str, str], data: bytes) -> None:
    """What a client does with a grant: exactly its method and address, no token."""
    assert (grant["method"], grant["headers"]) == ("PUT", {})
    httpx.put(grant["url"], content=data).raise_for_status()


def commit(store: Store, token: str, made: Made, grant_id: str) -> tuple[int, str]:
    return store.post(f"/v1/xorb-commits/default/{made.xorb_hash}/grant/{grant_id}", token)


def test_granted_xorb_counts_once_it_is_checked(bucket_rt: Runtime, bucket_store: Store) -> None:
    made, token = make_file(1), bucket_store.token("ada", "ada/tiny-llm")
    grant = ask_grant(bucket_store, token, made)
    assert commit(bucket_store, token, made, grant["id"])[0] == 404  # nothing is there yet
    put(grant, made.xorb)
    assert bucket_store.post("/v1/shards", token, made.shard())[0] == 400  # not before the commit
    assert commit(bucket_store, token, made, grant["id"]) == (200, '{"was_inserted":true}')
    put(grant, b"something else")  # the link still works, but leads nowhere
    assert commit(bucket_store, token, made, grant["id"])[0] == 400
    assert bucket_store.post("/v1/shards", token, made.shard())[0] == 200
    assert b"".join(stream_file(bucket_rt, made.file_hash)) == made.data
    assert keys(bucket_rt, "incoming") == []
    status, _ = bucket_store.post(f"/v1/xorb-grants/default/{made.xorb_hash}", token, b'{"length": 5}')
    assert status == 200  # stored already


def test_link_of_a_grant_takes_the_length_announced(bucket_store: Store) -> None:
    made, token = make_file(1), bucket_store.token("ada", "ada/tiny-llm")
    link = ask_grant(bucket_store, token, made)["url"]
    query = dict(parse_qsl(urlsplit(link).query))
    assert query["X-Amz-SignedHeaders"] == "content-length;host"
    at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    keys = {"access_key": "k", "secret_key": "s", "region": "us-east-1", "ttl_s": 3600, "at": at}
    assert sign_put(link, **keys, size_bytes=len(made.xorb)) == link
    assert sign_put(link, **keys, size_bytes=len(made.xorb) + 1) != link


def test_footer_of_a_granted_xorb_is_cut_off(bucket_rt: Runtime, bucket_store: Store) -> None:
    made, token = make_file(1), bucket_store.token("ada", "ada/tiny-llm")
    grant = ask_grant(bucket_store, token, made)
    put(grant, made.xorb + b"XETBLOB" + bytes(50))
    assert commit(bucket_store, token, made, grant["id"])[0] == 200
    (key,) = keys(bucket_rt, "xorbs")
    assert bucket_rt.objects.read(key) == made.xorb


@pytest.mark.parametrize(
    "spoil",
    [
        lambda xorb: xorb[:-1],
        lambda xorb: b"",
        lambda xorb: xorb[:100] + bytes([xorb[100] ^ 1]) + xorb[101:],
        lambda xorb: make_file(2).xorb,
        lambda xorb: bytes(64 * 1024 * 1024 + 1),
    ],
    ids=["cut", "empty", "flipped", "another xorb", "too large"],
)
def test_bad_granted_xorb_leaves_nothing(
    bucket_rt: Runtime, bucket_store: Store, spoil: Callable[[bytes], bytes]
) -> None:
    made, token = make_file(1, scheme=0), bucket_store.token("ada", "ada/tiny-llm")
    grant = ask_grant(bucket_store, token, made)
    put(grant, spoil(made.xorb))
    assert commit(bucket_store, token, made, grant["id"])[0] == 400
    assert keys(bucket_rt) == []
    assert commit(bucket_store, token, made, grant["id"])[0] == 404


def test_grant_is_of_its_namespace_and_xorb(bucket_store: Store) -> None:
    made, other = make_file(1), make_file(2)
    ada, grace = (bucket_store.token(name, f"{name}/tiny-llm") for name in ("ada", "grace"))
    grant = ask_grant(bucket_store, ada, made)
    put(grant, made.xorb)
    assert commit(bucket_store, grace, made, grant["id"])[0] == 404
    assert commit(bucket_store, ada, other, grant["id"])[0] == 404
    for wrong in ("x", "..%2F..", "0" * 32):
        assert commit(bucket_store, ada, made, wrong)[0] == 404
    reader = bucket_store.token("ada", "ada/tiny-llm", "read")
    assert commit(bucket_store, reader, made, grant["id"])[0] == 403
    for body, status in [(b"{", 400), (b"[]", 400), (b'{"length":0}', 400), (b'{"length":99999999999}', 413)]:
        assert bucket_store.post(f"/v1/xorb-grants/default/{other.xorb_hash}", ada, body)[0] == status
    assert commit(bucket_store, ada, made, grant["id"])[0] == 200


def test_unfinished_grants_are_cleaned_and_few(
    bucket_rt: Runtime, bucket_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, token = make_file(1), bucket_store.token("ada", "ada/tiny-llm")
    grant = ask_grant(bucket_store, token, made)
    put(grant, made.xorb)
    assert drop_stale_grants(bucket_rt) == 0  # its sender may still ask for it
    monkeypatch.setattr(grants, "INCOMING_AGE", timedelta(0))
    assert drop_stale_grants(bucket_rt) == 1
    assert keys(bucket_rt) == []
    monkeypatch.setattr(grants, "MAX_OPEN_GRANTS", 1)
    path = f"/v1/xorb-grants/default/{made.xorb_hash}"
    assert bucket_store.post(path, token, b'{"length":5}')[0] == 404  # sent the plain way instead
    assert commit(bucket_store, token, made, grant["id"])[0] == 404  # given up
    assert bucket_store.post(path, token)[0] == 404, "no link for what may be of any length"
    assert bucket_store.post(path, token, b'{"length":5}')[0] == 201


def test_files_live_in_a_bucket(bucket_rt: Runtime, bucket_store: Store) -> None:
    rt, store, http = bucket_rt, bucket_store, bucket_store.http
    made = make_file(1)
    token = store.token("ada", "ada/tiny-llm")
    assert store.upload(token, made)[0] == 200
    plan = json.loads(store.get(f"/v2/reconstructions/{made.file_hash}", token)[1])
    fetch = plan["xorbs"][made.xorb_hash][0]
    span = fetch["ranges"][0]["bytes"]
    answer = http.get(fetch["url"], headers={"Range": f"bytes={span['start']}-{span['end']}"})
    assert (answer.status_code, answer.content) == (206, made.xorb)
    assert b"".join(stream_file(rt, made.file_hash, 20_000, 50_000)) == made.data[20_000:50_000]
    assert not list(rt.settings.tmp_root.iterdir())
    (meta,) = rt.objects.list("xorbs")
    rt.objects.put_bytes(meta.key, made.xorb[:-1] + bytes([made.xorb[-1] ^ 1]))
    assert scrub(rt, every=timedelta(0)).damaged == [made.xorb_hash]
    with pytest.raises(XetQuarantined):
        next(stream_file(rt, made.file_hash))
    assert store.upload(token, made)[0] == 200
    assert b"".join(stream_file(rt, made.file_hash)) == made.data
