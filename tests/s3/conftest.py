"""A real S3 API server in a process of its own, and an instance that keeps its objects there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from kit.databases import Databases
from kit.people import add_people
from kit.server import LiveServer, free_port, live_server
from llmos.app.schema import ensure_schema
from llmos.infra.runtime import open_runtime
from llmos.infra.settings import Settings

BUCKET = "llmos"
START_LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class S3:
    url: str

    def settings(self, prefix: str) -> dict[str, str]:
        return {
            "storage_url": f"s3://{BUCKET}/{prefix}",
            "storage_endpoint": self.url,
            "storage_access_key": "ada",
            "storage_secret_key": "secret",
        }

    def keys(self, prefix: str) -> list[str]:
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="ada",
            aws_secret_access_key="secret",
        )
        found = client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        client.close()
        return [item["Key"] for item in found.get("Contents", [])]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3") / "log", free_port()) as found:
        yield found


@contextmanager
def s3_server(log: Path, port: int) -> Iterator[S3]:
    """An S3 server with one empty bucket."""
    program = Path(sys.executable).with_name("moto_server")
    env = {**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": "1000", "PYTHONWARNINGS": "ignore"}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(program), "-H", "127.0.0.1", "-p", str(port)], env=env, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _create_bucket(url, log)
            yield S3(url)
        finally:
            process.terminate()
            process.wait(15)


def _create_bucket(url: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    request = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")
    while True:
        try:
            urllib.request.urlopen(request, timeout=10).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


@contextmanager
def instance_on(s3: S3, home: Path, prefix: str, **extra: str) -> Iterator[LiveServer]:
    """A live server whose objects lie in the bucket below `prefix`."""
    settings = s3.settings(prefix) | extra
    runtime = open_runtime(Settings(home=home, **settings))
    ensure_schema(runtime)
    tokens = add_people(runtime)
    runtime.close()
    with live_server(home, **settings) as server:
        server.tokens.update(tokens)
        yield server


@pytest.fixture(scope="session")
def s3_instance(
    s3: S3, tmp_path_factory: pytest.TempPathFactory, _databases: Databases
) -> Iterator[LiveServer]:
    home = tmp_path_factory.mktemp("on-s3") / "home"
    with instance_on(s3, home, "plain", **_databases.fill(home)) as server:
        yield server


@pytest.fixture(scope="session")
def presigning(
    s3: S3, tmp_path_factory: pytest.TempPathFactory, _databases: Databases
) -> Iterator[LiveServer]:
    """An instance that sends clients to the bucket for downloads."""
    home = tmp_path_factory.mktemp("presigning") / "home"
    parts = {"lfs_multipart_above_bytes": "6000000", "lfs_part_bytes": str(5 * 1024 * 1024)}
    with instance_on(s3, home, "signed", storage_presign="true", **parts, **_databases.fill(home)) as server:
        yield server
