"""Links for uploads of one exact length, which the library that makes all other links cannot say.

AWS Signature Version 4 by query parameters: whatever header is named as signed, the store compares
with what the uploader sends, here the length.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"
_TIME = "%Y%m%dT%H%M%SZ"


def sign_put(
    link: str,
    *,
    access_key: str,
    secret_key: str,
    region: str,
    ttl_s: int,
    size_bytes: int | None = None,
    at: datetime | None = None,
) -> str:
    """`link` (signed or not) as a link to PUT what is exactly `size_bytes` long, from `at` (now) on."""
    parts = urlsplit(link)
    at = at or datetime.now(UTC)
    scope = f"{at:%Y%m%d}/{region}/s3/aws4_request"
    headers = {"host": parts.netloc}
    if size_bytes is not None:
        headers["content-length"] = str(size_bytes)
    query = {name: value for name, value in parse_qsl(parts.query) if not name.startswith("X-Amz-")} | {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{access_key}/{scope}",
        "X-Amz-Date": at.strftime(_TIME),
        "X-Amz-Expires": str(ttl_s),
        "X-Amz-SignedHeaders": ";".join(sorted(headers)),
    }
    asked = "&".join(f"{_quoted(name)}={_quoted(query[name])}" for name in sorted(query))
    lines = [f"{name}:{headers[name]}\n" for name in sorted(headers)]
    request = "\n".join(
        ["PUT", parts.path, asked, "".join(lines), query["X-Amz-SignedHeaders"], "UNSIGNED-PAYLOAD"]
    )
    told = "\n".join([_ALGORITHM, at.strftime(_TIME), scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    return f"{parts.scheme}://{parts.netloc}{parts.path}?{asked}&X-Amz-Signature={_mac(key, told).hex()}"


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
