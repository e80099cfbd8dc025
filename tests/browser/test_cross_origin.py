"""A page of another site uploads and downloads with `fetch`, and reads nothing it has no token for."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from features.storage.xet.conftest import Made, make_file
from kit.server import LiveServer

REPO = "ada/from-a-browser"

_ROUND_TRIP = """
async ({hub, repo, token, made}) => {
  const bearer = (value) => ({Authorization: `Bearer ${value}`});
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const seen = {};
  let answer = await fetch(`${hub}/api/models/${repo}/xet-write-token/main`, {headers: bearer(token)});
  const cas = answer.headers.get("X-Xet-Cas-Url");
  const write = bearer((await answer.json()).accessToken);
  const post = (path, body) => fetch(cas + path, {method: "POST", headers: write, body});
  seen.grant = (await post(`/v1/xorb-grants/default/${made.xorb_hash}`, '{"length": 9}')).status;
  seen.xorb = await (await post(`/v1/xorbs/default/${made.xorb_hash}`, bytes(made.xorb))).json();
  seen.shard = (await (await post("/v2/shards", bytes(made.shard))).text()).trim();
  const commit = await fetch(`${hub}/api/models/${repo}/commit/main`, {
    method: "POST", headers: {...bearer(token), "Content-Type": "application/x-ndjson"}, body: made.commit,
  });
  seen.commit = commit.status;

  const file = `${hub}/${repo}/resolve/main/model.bin`;
  answer = await fetch(file, {
    headers: {...bearer(token), Range: "bytes=0-0", Accept: "application/vnd.xet-fileinfo+json, */*"},
  });
  const info = await answer.json();
  seen.link = answer.headers.get("Link");
  seen.info = info;
  const read = bearer((await (await fetch(info.refreshUrl, {headers: bearer(token)})).json()).accessToken);
  const plan = await (await fetch(
    info.reconstructionUrl.replace("/v1/", "/v2/"), {headers: {...read, Range: "bytes=0-9"}})).json();
  const part = plan.xorbs[made.xorb_hash][0];
  const range = part.ranges[0].bytes;
  answer = await fetch(part.url, {headers: {Range: `bytes=${range.start}-${range.end}`}});
  seen.data = [answer.status, (await answer.arrayBuffer()).byteLength, range.end + 1 - range.start];

  answer = await fetch(file, {headers: {...bearer(token), Range: "bytes=5-9"}});
  const piece = Array.from(new Uint8Array(await answer.arrayBuffer()));
  seen.plain = [answer.status, answer.headers.get("Content-Range"), piece];
  answer = await fetch(`${hub}/${repo}/resolve/main/none.bin`, {headers: bearer(token)});
  seen.missing = [answer.status, answer.headers.get("X-Error-Code")];

  answer = await fetch(`${hub}/${repo}.git/info/lfs/objects/batch`, {
    method: "POST", headers: {...bearer(token), "Content-Type": "application/vnd.git-lfs+json"},
    body: JSON.stringify({operation: "upload", objects: [made.lfs]}),
  });
  const action = (await answer.json()).objects[0].actions.upload;
  seen.anonymous = (await fetch(file)).status;
  seen.lfs = (await fetch(action.href, {method: "PUT", body: "hello\\n"})).status;
  return seen;
}
"""

_BLOCKED = """
async ({hub, repo, token}) => {
  const headers = {Authorization: `Bearer ${token}`};
  const tries = [
    [`${hub}/api/models/${repo}`, {}],
    [`${hub}/${repo}`, {headers}],
    [`${hub}/api/models/${repo}`, {headers, credentials: "include"}],
  ];
  const out = [];
  for (const [url, options] of tries) {
    out.push(await fetch(url, options).then((answer) => answer.status, (error) => error.name));
  }
  return out;
}
"""


class _Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><link rel=icon href=data:,><title>Elsewhere</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def foreign_page(chromium: Browser) -> Iterator[Page]:
    """A page of an origin that is not the server's."""
    elsewhere = HTTPServer(("127.0.0.1", 0), _Blank)
    thread = threading.Thread(target=elsewhere.serve_forever, args=(0.02,))
    thread.start()
    page = chromium.new_page()
    try:
        page.goto(f"http://127.0.0.1:{elsewhere.server_address[1]}/")
        yield page
    finally:
        page.close()
        elsewhere.shutdown()
        elsewhere.server_close()
        thread.join()


def as_json(made: Made) -> dict[str, Any]:
    commit = (
        '{"key":"header","value":{"summary":"From a browser"}}\n'
        '{"key":"lfsFile","value":{"path":"model.bin","algo":"sha256",'
        f'"oid":"{made.file.sha256}","size":{len(made.data)}}}}}'
    )
    return {
        "xorb_hash": made.xorb_hash,
        "xorb": base64.b64encode(made.xorb).decode(),
        "shard": base64.b64encode(made.shard()).decode(),
        "commit": commit,
        # "hello\n"
        "lfs": {"oid": "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03", "size": 6},
    }


def test_a_foreign_page_transfers_with_its_token_only(server: LiveServer, foreign_page: Page) -> None:
    token = server.tokens["ada"]
    httpx.post(
        f"{server.url}/api/repos/create",
        json={"name": REPO.split("/")[1]},
        headers={"Authorization": f"Bearer {token}"},
    ).raise_for_status()
    made = make_file(77)
    given = {"hub": server.url, "repo": REPO, "token": token, "made": as_json(made)}
    seen = foreign_page.evaluate(_ROUND_TRIP, given)
    assert seen["grant"] == 404
    assert seen["xorb"] == {"was_inserted": True}
    assert seen["shard"].endswith('{"type":"result","result":1}')
    assert seen["commit"] == 200
    assert seen["info"]["hash"] == made.file_hash
    assert (seen["info"]["size"], seen["info"]["etag"]) == (len(made.data), f'"{made.file.sha256}"')
    assert 'rel="xet-auth"' in seen["link"]
    assert f'/v1/reconstructions/{made.file_hash}>; rel="xet-reconstruction-info"' in seen["link"]
    status, got, wanted = seen["data"]
    assert (status, got) == (206, wanted)
    assert seen["plain"] == [206, f"bytes 5-9/{len(made.data)}", list(made.data[5:10])]
    assert seen["missing"] == [404, "EntryNotFound"]
    assert (seen["lfs"], seen["anonymous"]) == (200, 200)
    assert foreign_page.evaluate(_BLOCKED, given) == ["TypeError"] * 3
