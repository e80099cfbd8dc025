"""Addresses outside the description (files, git, chunks, pages) with hostile bytes, headers and bodies."""

from __future__ import annotations

import gzip
import random

import pytest

from faults.conftest import commit_body
from faults.hostile import BODIES, HEADERS, SEGMENTS
from faults.rawclient import Answer, RawClient

TEMPLATES = [
    "GET /{}/{}/resolve/{}/{}",
    "HEAD /{}/{}/resolve/{}/{}",
    "GET /{}/{}/raw/{}/{}",
    "GET /datasets/{}/{}/resolve/{}/{}",
    "GET /{}/{}.git/info/refs?service={}",
    "GET /{}/{}/info/refs?service=git-upload-pack",
    "GET /{}/{}/info/refs?service=git-receive-pack",
    "POST /{}/{}.git/git-upload-pack",
    "POST /{}/{}.git/git-receive-pack",
    "POST /{}/{}.git/info/lfs/objects/batch",
    "GET /{}/{}.git/info/lfs/locks?path={}&cursor={}&limit={}",
    "PUT /-/lfs/upload/{}?token={}",
    "GET /-/lfs/download/{}?token={}",
    "PUT /-/lfs/part/{}/{}?token={}",
    "GET /cas/v1/reconstructions/{}",
    "GET /cas/v2/reconstructions/{}",
    "GET /cas/v1/chunks/{}/{}",
    "POST /cas/v1/xorbs/{}/{}",
    "POST /cas/e/{}/shards",
    "GET /cas/data/{}?t={}",
    "GET /",
    "GET /{}",
    "GET /models?search={}&sort={}&cursor={}&p={}",
    "GET /search?q={}&type={}",
    "GET /search/suggest?q={}",
    "GET /{}/{}",
    "GET /{}/{}/tree/{}/{}",
    "GET /{}/{}/blob/{}/{}",
    "GET /{}/{}/commits/{}?p={}",
    "GET /{}/{}/commit/{}",
    "GET /{}/{}/edit/{}/{}",
    "POST /{}/{}/edit/{}/{}",
    "POST /{}/{}/upload/{}",
    "GET /{}/{}/branches",
    "GET /{}/{}/settings",
    "POST /{}/{}/settings",
    "GET /avatars/{}",
    "GET /-/static/{}/{}",
    "GET /-/invite/{}",
    "GET /orgs/{}/members",
    "POST /login?next={}",
    "GET /settings/tokens?{}",
    "GET /device?user_code={}",
    "POST /-/preferences",
    "OPTIONS /{}/{}",
    "PATCH /api/models/{}/{}",
    "TRACE /{}",
]
TRICKS = [
    "/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/llmos.db",
    "/-/static/%2e%2e/%2e%2e/secrets", "/-/static/..%2f..%2f..%2fetc%2fpasswd",
    "/-/static//etc/passwd", "/-/static/%00", "/avatars/..%2f..%2fllmos.db",
    "/ada/tiny-llm/resolve/main/..%2f..%2fconfig", "/ada/tiny-llm/resolve/main/%2e%2e/%2e%2e/HEAD",
    "/ada/tiny-llm/raw/main/.git/config", "/ada/tiny-llm.git/objects/info/packs",
    "/ada/tiny-llm.git/HEAD", "/ada/tiny-llm.git/config", "//etc/passwd", "/ada//tiny-llm",
    "/ada/tiny-llm/", "/ada;x/tiny-llm", "/\\..\\..", "/ada/..%2fada%2fnotes",
    "/ada/tiny-llm%2f..%2fnotes", "/ada/notes%00", "/%61da/%6eotes", "/api/models/ada/notes%2e",
    "/api/models/ADA/NOTES", "/api/models/ada%2fnotes",
]  # fmt: skip
USUAL = ["ada", "tiny-llm", "main", "README.md", "data"]
CALLERS = ("anonymous", "ada")


def fill(template: str, dice: random.Random) -> str:
    """Usual values first, so that most addresses lead somewhere; later segments are the hostile ones."""
    out, place = template, 0
    while "{}" in out:
        usual = USUAL[min(place, len(USUAL) - 1)]
        value = usual if dice.random() < 0.75 - 0.15 * place else dice.choice(SEGMENTS)
        out, place = out.replace("{}", value, 1), place + 1
    return out


def is_fault(answer: Answer) -> bool:
    return (
        answer.is_closed or (answer.status >= 500 and answer.status not in (501, 503)) or answer.status < 200
    )


def test_no_address_breaks_the_server(ask: RawClient, tokens: dict[str, str]) -> None:
    faults = []
    for template in TEMPLATES:
        dice = random.Random(template)
        for _ in range(8):
            for caller in CALLERS:
                method, target = fill(template, dice).split(" ", 1)
                headers = dice.choice(HEADERS) | ({"accept": "text/html"} if dice.random() < 0.4 else {})
                body = dice.choice(BODIES) if method in ("POST", "PUT", "PATCH") else b""
                answer = ask(method, target, headers=headers, body=body, token=tokens.get(caller))
                if is_fault(answer):
                    shown = f"{method} {target} {caller} {headers} {body[:100]!r}"
                    faults.append(f"{answer.status} {answer.text[:200]}\n    {shown}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", TRICKS)
def test_no_path_leads_out_or_into_what_is_private(ask: RawClient, path: str) -> None:
    for method in ("GET", "HEAD"):
        answer = ask(method, path)
        assert (
            answer.status in (301, 302, 303, 307, 308, 400, 401, 403, 404, 405)
            or b"tiny-llm" in answer.body
            or (method == "HEAD" and answer.status == 200)
        ), answer
        assert b"root:" not in answer.body
        assert b"repositoryformatversion" not in answer.body
        assert b"# Tiny" not in answer.body


def test_an_overlong_address_is_refused(ask: RawClient) -> None:
    long = "a/" * 30_000
    for start in (
        "/",
        "/ada/",
        "/ada/tiny-llm/resolve/main/",
        "/api/models/ada/tiny-llm/tree/main/",
        "/search?q=",
    ):
        path = start + (long if start.endswith("main/") else long.replace("/", ""))
        answer = ask("GET", path)
        assert not is_fault(answer), answer
        assert len(answer.body) < 100_000
        assert sum(map(len, answer.headers.values())) < 70_000


def test_a_compressed_bomb_stays_small(ask: RawClient, tokens: dict[str, str]) -> None:
    """200 MB of zeros in 200 kB: git is fed piece by piece, other routes do not unpack at all."""
    bomb = gzip.compress(bytes(200_000_000), 1)
    git = {"content-type": "application/x-git-upload-pack-request", "content-encoding": "gzip"}
    answer = ask("POST", "/ada/tiny-llm.git/git-upload-pack", headers=git, body=bomb)
    assert 400 <= answer.status < 500
    packed = {"content-encoding": "gzip"}
    for path in ("/api/repos/create", "/api/models/ada/tiny-llm/commit/main", "/api/validate-yaml"):
        assert ask("POST", path, headers=packed, body=bomb, token=tokens["ada"]).status in (400, 413, 415)


def test_headers_of_proxies_change_nothing_but_the_scheme(ask: RawClient) -> None:
    forged = {
        "x-forwarded-host": "evil.example",
        "x-forwarded-proto": "https",
        "forwarded": "host=evil.example",
    }
    answer = ask("GET", "/api/models/ada/old-name", headers=forged)
    assert answer.status == 307
    assert "evil.example" not in answer.headers["location"]


@pytest.mark.parametrize("length", ["5", "0", "99999999"])
def test_a_lying_content_length_takes_nothing_twice(
    ask: RawClient, tokens: dict[str, str], length: str
) -> None:
    body = commit_body({"lie.txt": length})
    answer = ask(
        "POST",
        "/api/models/ada/tiny-llm/commit/main",
        headers={"content-length": length},
        body=[body[:20], body[20:]],
        token=tokens["ada"],
    )
    assert answer.status in (200, 400, 413), answer
