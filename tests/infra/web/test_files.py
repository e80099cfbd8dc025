"""Sending stored bytes, from a file and from a store without files."""

import os

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.testclient import TestClient

from llmos.core.errors import LlmosError
from llmos.infra.web.files import Content, ContentResponse, content_disposition

DATA = os.urandom(3 * 1024 * 1024 + 17)


def pieces(start, end):
    while start < end:
        yield DATA[start : min(start + 1000_000, end)]
        start += 1000_000


@pytest.fixture(params=["file", "stream", "copy that went"])
def client(request, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(DATA)
    if request.param == "file":
        content = Content(len(DATA), "tag", path=path)
    elif request.param == "stream":
        content = Content(len(DATA), "tag", stream=pieces)
    else:
        content = Content(len(DATA), "tag", path=tmp_path / "gone", stream=pieces)

    async def endpoint(asked: Request):
        try:
            return ContentResponse(asked, content, headers={"X-Extra": "1"})
        except LlmosError as error:
            from starlette.responses import Response

            return Response(error.message, error.status)

    return TestClient(Starlette(routes=[Route("/", endpoint)]))


def test_the_whole(client):
    answer = client.get("/")
    assert answer.content == DATA
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.headers["etag"] == '"tag"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-extra"] == "1"


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (5, 2_000_000), (1_048_575, 1_048_577), (3_145_000, len(DATA))]
)
def test_a_part(client, start, end):
    answer = client.get("/", headers={"Range": f"bytes={start}-{end - 1}"})
    assert answer.status_code == 206
    assert answer.content == DATA[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"


def test_head_has_the_real_length_and_no_body(client):
    answer = client.head("/")
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.content == b""


def test_a_known_etag_is_not_sent_again(client):
    answer = client.get("/", headers={"If-None-Match": '"tag"'})
    assert (answer.status_code, answer.content) == (304, b"")
    assert "content-length" not in answer.headers


def test_a_range_of_other_content_becomes_the_whole(client):
    answer = client.get("/", headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert answer.status_code == 200
    assert answer.content == DATA


def test_past_the_end(client):
    assert client.get("/", headers={"Range": f"bytes={len(DATA)}-"}).status_code == 416


def test_names_are_safe_in_headers():
    text = content_disposition("attachment", 'a"b\r\n é;.txt')
    assert "\r" not in text
    assert text.count('"') == 2
    assert text.startswith("attachment; filename*=UTF-8''a%22b%0D%0A%20%C3%A9%3B.txt")
