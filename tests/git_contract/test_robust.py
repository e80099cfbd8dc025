"""Damaged requests, clients that go away, large transfers."""

import gzip
import hashlib
import os
import socket
import subprocess
import threading
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from llmos.core.ids import new_object_id
from llmos.features.accounts.models import Namespace
from llmos.features.repos.models import Repo
from llmos.features.repos.places import git_path
from llmos.infra.git.repository import init_bare

UPLOAD = {"Content-Type": "application/x-git-upload-pack-request"}
RECEIVE = {"Content-Type": "application/x-git-receive-pack-request"}
PKT = st.binary(max_size=60).map(lambda data: b"%04x%s" % (len(data) + 4, data))
BODIES = st.one_of(st.binary(max_size=300), st.lists(PKT | st.just(b"0000"), max_size=6).map(b"".join))


def wait_for(condition, what):
    """Poll with a limit: what another process does has no event to wait on."""
    import time

    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture
def local_repo(rt, tokens):
    from sqlalchemy import select

    with rt.database.writing() as db:
        ada = db.scalars(select(Namespace).where(Namespace.name_key == "ada")).one()
        repo = Repo(
            object_id=new_object_id(),
            type="model",
            namespace_id=ada.id,
            name="tiny-llm",
            name_key="tiny-llm",
            tags=[],
        )
        db.add(repo)
        init_bare(git_path(rt, repo))
    return repo


fuzz = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@fuzz
@given(body=BODIES, zipped=st.booleans())
def test_no_pack_request_breaks_the_server(app_client: TestClient, local_repo, tokens, body, zipped):
    headers = {"Authorization": f"Bearer {tokens['ada']}"}
    if zipped:
        headers["Content-Encoding"] = "gzip"
    for service, kind in (("git-upload-pack", UPLOAD), ("git-receive-pack", RECEIVE)):
        answer = app_client.post(f"/ada/tiny-llm.git/{service}", content=body, headers=headers | kind)
        assert answer.status_code < 500, (service, body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["oid", "size", "objects", "operation", "path", "ref", "name", "force", "cursor", "limit"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@fuzz
@given(body=JSON)
def test_no_lfs_message_breaks_the_server(app_client: TestClient, local_repo, tokens, body):
    import json

    headers = {"Authorization": f"Bearer {tokens['ada']}"}
    for rest in ("objects/batch", "objects/verify", "locks", "locks/verify", "locks/1/unlock"):
        url = f"/ada/tiny-llm.git/info/lfs/{rest}"
        answer = app_client.post(url, content=json.dumps(body), headers=headers)
        assert answer.status_code < 500, (rest, body)


def test_a_damaged_gzip_body_is_refused(app_client: TestClient, local_repo, tokens):
    headers = UPLOAD | {"Content-Encoding": "gzip"}
    whole = gzip.compress(b"0000" * 1000)
    for body in (b"not gzip", whole[:-12]):
        answer = app_client.post("/ada/tiny-llm.git/git-upload-pack", content=body, headers=headers)
        assert answer.status_code == 400
        assert "gzip" in answer.text


def open_request(server, method, path, headers):
    """A raw connection with the head of a request sent."""
    parts = urlsplit(server.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=20)
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{lines}\r\n".encode())
    return connection


def children(server):
    """Git processes started by the server's processes."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    family = {server.process.pid}
    for _ in range(3):
        family |= {int(pid) for pid, ppid, _ in rows if int(ppid) in family}
    return [args for pid, _, args in rows if int(pid) in family and args.startswith("git ")]


def test_a_client_that_leaves_mid_push_changes_nothing(server, clone, repo, live_rt):
    before = clone.run("ls-remote", "origin")
    token = server.tokens["ada"]
    headers = RECEIVE | {"Authorization": f"Bearer {token}", "Content-Length": "1000000"}
    connection = open_request(server, "POST", f"/{repo.repo_name}.git/git-receive-pack", headers)
    head = clone.run("rev-parse", "HEAD").strip()
    line = f"{'0' * 40} {head} refs/heads/half\0 report-status".encode()
    connection.sendall(b"%04x%s0000PACK\0\0\0\x02\0\0\0\x09" % (len(line) + 4, line))
    wait_for(lambda: children(server), "git was started")
    connection.close()
    wait_for(lambda: not children(server), "git was stopped")
    assert clone.run("ls-remote", "origin") == before
    objects = git_path(live_rt, repo) / "objects"
    wait_for(lambda: not list(objects.glob("tmp_objdir*")), "the quarantine is gone")


def test_a_client_that_leaves_mid_upload_leaves_no_file(server, repo, live_rt):
    from llmos.protocols.git.lfs_links import LinkMaker

    data = os.urandom(1000)
    oid = hashlib.sha256(data).hexdigest()
    link = urlsplit(LinkMaker(live_rt, server.url, repo).upload(oid, 10_000_000))
    connection = open_request(server, "PUT", f"{link.path}?{link.query}", {"Content-Length": "10000000"})
    connection.sendall(data)
    tmp = server.home / "tmp"
    wait_for(lambda: list(tmp.glob("up-*")), "the upload has begun")
    connection.close()
    wait_for(lambda: not list(tmp.glob("up-*")), "the temporary file is removed")


def worker_rss_bytes(server):
    listed = subprocess.run(["ps", "-eo", "pid,ppid,rss"], capture_output=True, text=True).stdout
    rows = [tuple(map(int, line.split())) for line in listed.splitlines()[1:]]
    family = {server.process.pid} | {pid for pid, ppid, _ in rows if ppid == server.process.pid}
    own = [rss for pid, _, rss in rows if pid in family]
    return max(own) * 1024


@pytest.mark.slow
def test_a_gigabyte_goes_through_flat(clone, ada, repo, server):
    clone.run("config", "core.compression", "0")
    clone.run("config", "core.bigFileThreshold", "1m")
    for number in range(110):
        (clone.folder / f"part{number}.dat").write_bytes(os.urandom(9_500_000))
    clone.run("add", "-A")
    clone.run("commit", "-q", "-m", "A gigabyte")
    before = worker_rss_bytes(server)
    peak = [before]
    done = threading.Event()

    def watch():
        while not done.wait(0.1):
            peak.append(worker_rss_bytes(server))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        clone.run("push", "-q", "origin", "HEAD:main")
        pushed = max(peak)
        ada.run("clone", "-q", "--no-checkout", ada.url(repo.repo_name), "copy")
    finally:
        done.set()
        watcher.join()
    assert pushed - before < 64 * 1024**2, f"push added {(pushed - before) / 1e6:.0f} MB"
    assert max(peak) - before < 64 * 1024**2, f"clone added {(max(peak) - before) / 1e6:.0f} MB"
