"""git-lfs 3 against the server: push, pull, multipart, locks."""

import hashlib
import http.client
import json
import os
from urllib.parse import urlsplit

import pytest

from llmos.features.repos.claims import get_claim, used_bytes
from llmos.features.storage.models import LfsObject
from llmos.features.storage.objects import object_key


@pytest.fixture
def lfs_clone(clone):
    clone.run("lfs", "install", "--local")
    clone.run("lfs", "track", "*.bin")
    return clone


class Lfs:
    """Raw calls to the LFS API of one repository."""

    def __init__(self, server, repo_name, token):
        self.server, self.repo_name, self.token = server, repo_name, token

    def send(self, method, url, body=None, *, signed_in=True, headers=None):
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(urlsplit(self.server.url).netloc, timeout=60)
        fields = dict(headers or {})
        if signed_in and self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, path, body=body, headers=fields)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, data

    def call(self, rest, body, method="POST"):
        url = f"{self.server.url}/{self.repo_name}.git/info/lfs{rest}"
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        status, headers, data = self.send(method, url, raw)
        return status, json.loads(data) if "json" in headers.get("content-type", "") else data

    def batch(self, operation, *contents, **extra):
        objects = [{"oid": hashlib.sha256(data).hexdigest(), "size": len(data)} for data in contents]
        status, answer = self.call("/objects/batch", {"operation": operation, "objects": objects, **extra})
        assert status == 200, answer
        return answer

    def upload(self, data):
        action = self.batch("upload", data)["objects"][0]["actions"]["upload"]
        return self.send("PUT", action["href"], data, signed_in=False)


@pytest.fixture
def lfs(server, repo):
    return Lfs(server, repo.repo_name, server.tokens["ada"])


def test_git_lfs_pushes_and_another_person_pulls(lfs_clone, git_for, repo, live_rt):
    data = os.urandom(300_000)
    lfs_clone.commit({"w.bin": data, "deep/v.bin": b"small"})
    lfs_clone.run("push", "-q", "origin", "HEAD:main")
    oid = hashlib.sha256(data).hexdigest()
    with live_rt.database.reading() as db:
        assert get_claim(db, repo.id, oid).size_bytes == len(data)
    grace = git_for("grace")
    grace.run("clone", "-q", grace.url(repo.repo_name), "copy")
    copy = grace.inside("copy")
    copy.run("lfs", "install", "--local")
    copy.run("lfs", "pull")
    assert (copy.folder / "w.bin").read_bytes() == data
    assert (copy.folder / "deep/v.bin").read_bytes() == b"small"


def test_an_uploaded_object_is_not_asked_for_again(lfs):
    assert lfs.upload(b"once")[0] == 200
    answer = lfs.batch("upload", b"once")["objects"][0]
    assert "actions" not in answer
    assert "error" not in answer


def test_another_repository_never_learns_that_an_object_exists(lfs, server, make_repo):
    lfs.upload(b"secret weights")
    other = Lfs(server, make_repo("grace").repo_name, server.tokens["grace"])
    assert "upload" in other.batch("upload", b"secret weights")["objects"][0]["actions"]
    answer = other.batch("download", b"secret weights")["objects"][0]
    assert answer["error"]["code"] == 404
    assert other.upload(b"secret weights")[0] == 200
    assert "download" in other.batch("download", b"secret weights")["objects"][0]["actions"]


def test_wrong_bytes_are_refused_and_leave_nothing(lfs, server):
    data = b"right bytes"
    href = lfs.batch("upload", data)["objects"][0]["actions"]["upload"]["href"]
    for wrong in (b"wrong bytes", b"short", b"far too long for it"):
        status, _, _ = lfs.send("PUT", href, wrong, signed_in=False)
        assert status == 422, wrong
    assert lfs.batch("download", data)["objects"][0]["error"]["code"] == 404
    assert not [name for name in os.listdir(server.home / "tmp") if name.startswith("up-")]


def test_links_work_only_for_their_own_object(lfs):
    lfs.upload(b"mine")
    action = lfs.batch("download", b"mine")["objects"][0]["actions"]["download"]
    other = hashlib.sha256(b"other").hexdigest()
    forged = action["href"].replace(hashlib.sha256(b"mine").hexdigest(), other)
    assert lfs.send("GET", forged, signed_in=False)[0] == 403
    assert lfs.send("GET", action["href"] + "x", signed_in=False)[0] == 403
    assert lfs.send("PUT", action["href"].replace("/download/", "/upload/"), b"mine")[0] == 403


def test_downloads_answer_ranges_and_head(lfs):
    data = bytes(range(256)) * 5000
    lfs.upload(data)
    href = lfs.batch("download", data)["objects"][0]["actions"]["download"]["href"]
    status, headers, body = lfs.send("GET", href, signed_in=False)
    assert (status, body) == (200, data)
    assert headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    status, headers, body = lfs.send("GET", href, headers={"Range": "bytes=1000-700000"})
    assert (status, body) == (206, data[1000:700001])
    assert headers["content-range"] == f"bytes 1000-700000/{len(data)}"
    status, headers, body = lfs.send("HEAD", href)
    assert (status, headers["content-length"], body) == (200, str(len(data)), b"")
    status, headers, _ = lfs.send("GET", href, headers={"Range": f"bytes={len(data)}-"})
    assert (status, headers["content-range"]) == (416, f"bytes */{len(data)}")


def test_quarantined_objects_are_never_served(lfs, live_rt):
    from llmos.core import clock

    lfs.upload(b"malware")
    href = lfs.batch("download", b"malware")["objects"][0]["actions"]["download"]["href"]
    with live_rt.database.writing() as db:
        db.get(LfsObject, hashlib.sha256(b"malware").hexdigest()).quarantined_at = clock.now()
    assert lfs.send("GET", href)[0] == 403
    assert lfs.batch("download", b"malware")["objects"][0]["error"]["code"] == 404


def test_verify_confirms_what_was_uploaded(lfs):
    lfs.upload(b"checked")
    oid = hashlib.sha256(b"checked").hexdigest()
    assert lfs.call("/objects/verify", {"oid": oid, "size": 7})[0] == 200
    assert lfs.call("/objects/verify", {"oid": oid, "size": 8})[0] == 422
    assert lfs.call("/objects/verify", {"oid": "0" * 64, "size": 7})[0] == 404


def test_the_batch_reports_errors_per_object(lfs):
    objects = [{"oid": "xyz", "size": 1}, {"oid": "a" * 64, "size": -1}, {"oid": "b" * 64}, 7, None]
    status, answer = lfs.call("/objects/batch", {"operation": "upload", "objects": objects})
    assert status == 200
    assert [item["error"]["code"] for item in answer["objects"]] == [422] * 5


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"operation":"upload"}', 422),
        ({"operation": "steal", "objects": []}, 422),
        ({"operation": "upload", "objects": "all"}, 422),
        ({"operation": "upload", "objects": [], "hash_algo": "md5"}, 409),
        ({"operation": "upload", "objects": [{}] * 1001}, 413),
        (b" " * (2 * 1024 * 1024), 413),
        (b"[" * 100_000, 400),
    ],
)
def test_malformed_batches_are_refused_by_name(lfs, body, status):
    assert lfs.call("/objects/batch", body)[0] == status


@pytest.mark.parametrize("name", ["main", "refs/heads/main"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha_256"])
def test_both_spellings_of_refs_and_hashes_pass(lfs, name, algorithm):
    lfs.batch("upload", b"x", ref={"name": name}, hash_algo=algorithm)


def test_a_reader_may_not_upload_without_signing_in(server, repo):
    nobody = Lfs(server, repo.repo_name, None)
    status, _ = nobody.call("/objects/batch", {"operation": "upload", "objects": []})
    assert status == 401


def test_quota_is_named_and_enforced(lfs, live_rt, repo):
    from llmos.features.accounts.models import Namespace

    with live_rt.database.writing() as db:
        used = used_bytes(db, repo.namespace_id)
        db.get(Namespace, repo.namespace_id).quota_bytes = used + 10
    try:
        href = lfs.batch("upload", b"12345678")["objects"][0]["actions"]["upload"]["href"]
        objects = [{"oid": "c" * 64, "size": 11}]
        status, answer = lfs.call("/objects/batch", {"operation": "upload", "objects": objects})
        assert status == 413
        assert "quota of ada" in answer["message"]
        assert lfs.upload(b"abcdef")[0] == 200
        assert lfs.send("PUT", href, b"12345678")[0] == 413
    finally:
        with live_rt.database.writing() as db:
            db.get(Namespace, repo.namespace_id).quota_bytes = None


def test_locks_through_git_lfs(lfs_clone, server, live_rt, git_for, repo):
    lfs_clone.commit({"w.bin": b"one"})
    lfs_clone.run("push", "-q", "origin", "HEAD:main")
    lfs_clone.run("lfs", "lock", "w.bin")
    assert "w.bin" in lfs_clone.run("lfs", "locks")
    assert "already locked" in lfs_clone.run("lfs", "lock", "w.bin", ok=False)
    lfs_clone.run("lfs", "unlock", "w.bin")
    assert "w.bin" not in lfs_clone.run("lfs", "locks")


def test_locks_of_others(lfs, server, repo):
    status, made = lfs.call("/locks", {"path": "w.bin", "ref": {"name": "refs/heads/main"}})
    assert status == 201
    lock_id = made["lock"]["id"]
    root = Lfs(server, repo.repo_name, server.tokens["root-admin"])
    status, answer = root.call("/locks/verify", {"ref": {"name": "refs/heads/main"}})
    assert status == 200
    assert [lock["id"] for lock in answer["theirs"]] == [lock_id]
    assert answer["ours"] == []
    assert root.call("/locks", {"path": "w.bin"})[0] == 409
    assert root.call(f"/locks/{lock_id}/unlock", {})[0] == 403
    grace = Lfs(server, repo.repo_name, server.tokens["grace"])
    assert grace.call(f"/locks/{lock_id}/unlock", {"force": True})[0] == 403
    assert root.call(f"/locks/{lock_id}/unlock", {"force": True})[0] == 200
    assert root.call(f"/locks/{lock_id}/unlock", {"force": True})[0] == 404


def test_locks_are_listed_in_pages_and_filtered(lfs):
    for name in ("a", "b", "c"):
        lfs.call("/locks", {"path": f"{name}.bin"})
    status, first = lfs.call("/locks?limit=2", None, "GET")
    assert status == 200
    assert [lock["path"] for lock in first["locks"]] == ["a.bin", "b.bin"]
    _, rest = lfs.call(f"/locks?limit=2&cursor={first['next_cursor']}", None, "GET")
    assert [lock["path"] for lock in rest["locks"]] == ["c.bin"]
    assert "next_cursor" not in rest
    _, found = lfs.call("/locks?path=b.bin", None, "GET")
    assert [lock["path"] for lock in found["locks"]] == ["b.bin"]


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=0", "limit=99999999999999999999", "cursor=%00", "cursor=WyJhIl0"]
)
def test_odd_lock_queries_never_break(lfs, query):
    assert lfs.call(f"/locks?{query}", None, "GET")[0] < 500


@pytest.mark.parametrize(
    "body",
    [
        {"path": ""},
        {"path": "../x"},
        {"path": "x" * 5000},
        {"path": 7},
        {"path": "a\u0000b"},
        {"path": "a", "ref": {"name": "x" * 300}},
    ],
)
def test_odd_locks_are_refused(lfs, body):
    assert lfs.call("/locks", body)[0] == 422


def test_the_bytes_lie_where_the_store_says(lfs, live_rt):
    lfs.upload(b"placed")
    assert live_rt.objects.read(object_key(hashlib.sha256(b"placed").hexdigest())) == b"placed"
