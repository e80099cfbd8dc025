"""The same store over an S3-compatible bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from starlette.testclient import TestClient

from features.storage.xet.conftest import Store, make_file
from kit.people import add_people
from llmos.app.asgi import create_app
from llmos.app.schema import ensure_schema
from llmos.features.auth.credentials import actor_for_token
from llmos.features.repos.lifecycle import create_repo
from llmos.features.storage.xet.reading import stream_file
from llmos.features.storage.xet.scrub import scrub
from llmos.features.storage.xet.tables import XetQuarantined
from llmos.infra.runtime import Runtime, open_runtime
from llmos.infra.settings import Settings


@pytest.fixture
def bucket_rt(tmp_path: Path) -> Iterator[Runtime]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}".replace("0.0.0.0", "127.0.0.1")
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
    )
    rt = open_runtime(settings)
    ensure_schema(rt)
    yield rt
    rt.close()
    server.stop()


def test_files_live_in_a_bucket(bucket_rt: Runtime) -> None:
    rt = bucket_rt
    tokens = add_people(rt)
    with rt.database.writing() as db:
        create_repo(db, actor_for_token(db, tokens["ada"]), rt, name="ada/tiny-llm")
    made = make_file(1)
    with TestClient(create_app(runtime=rt), base_url="http://testserver") as http:
        store = Store(http, tokens)
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
