"""Values that have broken servers before."""

from __future__ import annotations

import base64

SEGMENTS = [
    "ada", "grace", "lab", "ADA", "nobody", "tiny-llm", "notes", "old-name", "new-name", "words",
    "models", "datasets", "spaces", "kernels", "main", "HEAD", "refs%2Fpr%2F1", "refs%2Fheads%2Fmain",
    "0" * 40, "f" * 64, "README.md", "data", "data%2Fa.txt", "pending", "1", "0", "-1", "9" * 30,
    "%00", "%ff%fe", "..", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%5c..%5cx", ".git", "a;b",
    "a b", "%F0%9F%98%80", "%ED%A0%80", "%25", "%", "%zz", "x" * 300, "é", "main..main", "main...HEAD",
    "@{0}", "main%5E%7B%7D", "%0a", "%E2%80%AE", "-", "--help", "%24(id)", "'%20or%201=1", "null",
    "undefined",
]  # fmt: skip
TEXTS = [
    "", "main", "ada", "grace", "ada/tiny-llm", "ada/new-name", "nobody/none", "lab", "a.txt",
    "data/a.txt", "..", "../x", "/etc/passwd", "a\\b", "a\x00b", "\ud800", "x" * 5000, "😀", "\n",
    "public", "private", "auto", "manual", "model", "dataset", "space", "static", "docker", "true",
    "abc", "-1", "0", "1", "9" * 40, "1e9", "NaN", "[", "%", "'", "0" * 40, "f" * 64, "sha256",
    "base64", "README.md", "created_at", "likes", "downloads", "safetensors", "cardData", "siblings",
]  # fmt: skip
FIELDS = [
    "name", "type", "organization", "private", "visibility", "gated", "fromRepo", "toRepo",
    "repository", "paths", "expand", "files", "path", "sample", "size", "sha", "rewriteHistory",
    "deletions", "target", "startingPoint", "tag", "message", "content", "repoType", "user", "status",
    "requestId", "oid", "objects", "operation", "transfers", "hash_algo", "ref", "cursor", "limit",
    "force", "parts", "partNumber", "etag", "sdk", "title", "description", "parentCommit",
    "emptyBranch", "overwrite", "license", "rejectionReason", "client_id", "grant_type", "device_code",
    "scope", "code", "redirect_uri", "response_type", "state", "pullRequest", "baseRef", "comment",
    "version", "reason", "method", "head", "url", "watched", "domains", "secret", "item", "items", "id",
    "note", "position", "theme", "namespace", "data", "context", "conclusion", "slug", "exists_ok",
]  # fmt: skip
QUERIES = [
    "limit", "cursor", "search", "author", "filter", "sort", "direction", "expand", "expand[]", "full",
    "p", "recursive", "path", "token", "include_prs", "blobs", "securityStatus", "raw", "create_pr",
    "config", "gated", "inference", "task_id", "base_model", "q", "includeNonRunning", "type", "id",
    "refspec", "service", "client_id", "redirect_uri", "response_type", "scope", "state", "user_code",
    "num_parameters", "apps", "pipeline_tag", "library", "trained_dataset", "other", "usedStorage",
    "download",
]  # fmt: skip
BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    b"[" * 50_000,
    b'{"a":' * 20_000,
    b"\xff\xfe\x00",
    b"NaN",
    b'{"name": NaN}',
    b'{"name": "\\ud800"}',
    b'{"name": "\xff"}',
    b'{"size": ' + b"9" * 5000 + b"}",
    b'{"limit": 1e400}',
    b"\0" * 100,
    b'{"name": "a", "name": {}}',
    b"a=b&c=%ff&d=%00",
    b"--x\r\n\r\n",
]
RANGES = ["bytes=0-", "bytes=-1", "bytes=5-2", "bytes=0-0,2-3", "bytes=" + "9" * 40 + "-", "x", "bytes=é-"]
HEADERS: list[dict[str, str | bytes]] = [
    {},
    {"accept": "text/html"},
    {"accept": "\xff", "accept-language": "zz;q=9,\xff;q=x,*"},
    *({"range": value} for value in RANGES),
    {"if-none-match": '"' * 2000, "if-range": "\xff", "if-modified-since": "never"},
    {"content-type": "application/json; charset=no-such"},
    {"content-type": "multipart/form-data"},
    {"content-type": "multipart/form-data; boundary=" + "x" * 300},
    {"content-type": "application/x-www-form-urlencoded; charset=\xff"},
    {"content-type": "application/x-git-upload-pack-request", "content-encoding": "gzip"},
    {"content-encoding": "br"},
    {"content-length": "-1"},
    {"content-length": "9" * 40},
    {"content-length": "1e3"},
    {"content-length": b"\xb2"},
    {"authorization": b"Basic \xff\xfe"},
    {"authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
    {"authorization": b"Bearer \xe9\x00"},
    {"authorization": "Digest x"},
    {"cookie": "llmos_session=\xff; locale=\xff; =; theme=" + "x" * 5000},
    {
        "host": "[::1",
        "x-forwarded-for": "\xff,,1.2.3.4.5",
        "x-forwarded-proto": "gopher",
        "x-forwarded-host": "[",
    },
    {"host": "", "x-forwarded-for": "1.2.3.4," * 200},
    {"host": "a b\xff:99999999"},
    {"origin": "http://[", "sec-fetch-site": "cross-site", "referer": "\xff"},
    {"x-request-id": "\xff" * 200},
    {"hx-request": "true", "hx-current-url": "\xff"},
    {"git-protocol": "version=2:\xff"},
]
