"""Links are signed as others sign them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import obstore
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from obstore.store import S3Store

from llmos.infra.blobs.presign import sign_put

KEYS = {"access_key": "AK", "secret_key": "se/cret+", "region": "eu-west-1"}


def signed_at(link: str) -> datetime:
    text = dict(parse_qsl(urlsplit(link).query))["X-Amz-Date"]
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", None])
def test_without_a_length_as_the_object_store_library(endpoint: str | None) -> None:
    place = {"endpoint": endpoint} if endpoint else {}
    store = S3Store(
        "weights",
        prefix="a b/\u00fc",
        region=KEYS["region"],
        access_key_id=KEYS["access_key"],
        secret_access_key=KEYS["secret_key"],
        client_options={"allow_http": True},
        **place,  # type: ignore[arg-type]
    )
    link = obstore.sign(store, "PUT", "incoming/x+y.1.2", timedelta(hours=1))
    assert sign_put(link, **KEYS, ttl_s=3600, at=signed_at(link)) == link


def test_with_a_length_as_the_client_of_the_makers_of_the_protocol() -> None:
    address = "http://127.0.0.1:9/weights/incoming/x.1.2"
    request = AWSRequest("PUT", address, headers={"content-length": "67108864"})
    keys = Credentials(KEYS["access_key"], KEYS["secret_key"])
    S3SigV4QueryAuth(keys, "s3", KEYS["region"], expires=60).add_auth(request)
    ours = sign_put(address, **KEYS, ttl_s=60, size_bytes=67_108_864, at=signed_at(request.url))
    assert dict(parse_qsl(urlsplit(ours).query)) == dict(parse_qsl(urlsplit(request.url).query))
