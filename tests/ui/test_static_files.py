"""Static files: hashed addresses, cache headers, compression, sizes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from llmos.ui import static_files
from llmos.ui.static_files import URL_PREFIX, UnknownAsset, asset, manifest, static_app


def fetch(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(static_app(scope, receive, send))
    answer = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answer, b"".join(message.get("body", b"") for message in sent[1:])


def test_an_address_carries_the_hash_of_the_content() -> None:
    match = re.fullmatch(r"/-/static/app\.([0-9a-f]{10})\.css", asset("app.css"))
    assert match
    assert hashlib.sha256(manifest()["app.css"].body).hexdigest().startswith(match[1])


def test_the_current_file_may_be_kept_forever() -> None:
    status, headers, body = fetch(asset("app.js"))
    assert (status, headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["x-content-type-options"] == "nosniff"
    assert body == manifest()["app.js"].body
    assert int(headers["content-length"]) == len(body)


def test_an_outdated_hash_still_answers_but_is_not_kept() -> None:
    status, headers, _body = fetch(f"{URL_PREFIX}app.0123456789.css")
    assert (status, headers["cache-control"]) == (200, "no-cache")


def test_text_is_compressed_for_those_who_take_it() -> None:
    _status, headers, body = fetch(asset("app.css"), accept_encoding="gzip, br")
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == manifest()["app.css"].body


def test_a_known_file_is_not_sent_again() -> None:
    _status, headers, _body = fetch(asset("app.css"))
    status, _headers, body = fetch(asset("app.css"), if_none_match=headers["etag"])
    assert (status, body) == (304, b"")


def test_head_has_the_headers_alone() -> None:
    status, headers, body = fetch(asset("favicon.svg"), "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 100


@pytest.mark.parametrize(
    "path",
    ["app.css", "../render.0123456789.py", "vendor/VENDORED.0123456789.md", "", "nothing.0123456789.css"],
)
def test_anything_else_is_not_found(path: str) -> None:
    assert fetch(URL_PREFIX + path)[0] == 404


def test_other_methods_are_refused() -> None:
    assert fetch(asset("app.css"), "POST")[0] == 405


def test_an_unknown_asset_is_an_error() -> None:
    with pytest.raises(UnknownAsset, match=r"missing\.css"):
        asset("missing.css")


def test_a_feature_brings_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_files, "_extra_roots", [])
    (tmp_path / "repos").mkdir()
    (tmp_path / "repos" / "upload.js").write_text("export const one = 1;")
    static_files.register_static(tmp_path)
    try:
        assert asset("repos/upload.js").startswith(f"{URL_PREFIX}repos/upload.")
    finally:
        manifest.cache_clear()


def test_styles_name_fonts_by_hash_and_nothing_foreign() -> None:
    for name in ("app.css", "vendor/katex/katex.min.css"):
        urls = re.findall(r"url\(([^)]+)\)", manifest()[name].body.decode())
        assert urls
        for url in urls:
            assert fetch(url)[1]["cache-control"].endswith("immutable"), url


def test_weights_stay_small() -> None:
    files = manifest()
    assert len(files["app.css"].body_gzip or files["app.css"].body) < 25_000
    assert len(files["app.js"].body) < 30_000
    assert all(len(file.body) < 1_000_000 for file in files.values())
    first_page = ["app.css", "app.js", "vendor/htmx/htmx.min.js", "vendor/lucide/icons.svg"]
    font = files["vendor/source-serif/source-serif-4-latin-500-normal.woff2"]
    assert sum(len(files[name].body_gzip or b"") for name in first_page) + len(font.body) < 100_000


def test_everything_vendored_is_listed_with_its_licence() -> None:
    vendor = Path(static_files.__file__).parent / "static" / "vendor"
    listed = (vendor / "VENDORED.md").read_text("utf-8")
    for folder in vendor.iterdir():
        if folder.is_dir():
            assert f"`{folder.name}/`" in listed
            assert (folder / "LICENSE").exists()
