"""Event files as charts: the page of one file, and all runs of a repository in one picture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from urllib.parse import urlsplit

from kit.events import event_file, scalar
from kit.statements import counted
from llmos.core.repo_types import RepoType
from llmos.features.repos.event_runs import list_event_runs, read_runs
from llmos.features.repos.models import Repo
from llmos.features.repos.places import open_git
from llmos.infra.git.revisions import resolve
from llmos.infra.runtime import Runtime

from .conftest import Put, Visitors

MakeRepo = Callable[..., Repo]
EVENTS = "events.out.tfevents.17321000{:02d}.box.1.0"


def falling(start: float, count: int = 20) -> list[tuple[int, float]]:
    return [(step * 10, start / (step + 1)) for step in range(count)]


def put_large(visitors: Visitors, name: str, path: str, data: bytes) -> None:
    """Upload by LFS, as git does, and commit the pointer."""
    auth = {"authorization": f"Bearer {visitors.tokens['ada']}"}
    oid = hashlib.sha256(data).hexdigest()
    batch = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": len(data)}]}
    kind = {"content-type": "application/vnd.git-lfs+json", "accept": "application/vnd.git-lfs+json"}
    answer = visitors.client.post(f"/{name}.git/info/lfs/objects/batch", json=batch, headers=auth | kind)
    upload = answer.json()["objects"][0]["actions"]["upload"]
    href = urlsplit(upload["href"])
    assert visitors.client.put(
        f"{href.path}?{href.query}", content=data, headers=upload.get("header", {}) | auth
    ).is_success
    lines = [
        {"key": "header", "value": {"summary": "Put", "description": ""}},
        {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "size": len(data), "oid": oid}},
    ]
    answer = visitors.client.post(
        f"/api/models/{name}/commit/main",
        content="\n".join(map(json.dumps, lines)),
        headers=auth | {"content-type": "application/x-ndjson"},
    )
    assert answer.status_code == 200, answer.text


def test_one_file_and_all_runs(visitors: Visitors, make_repo: MakeRepo, put: Put) -> None:
    """A run taken up again goes on in a second file; another one lies among the large files."""
    repo = make_repo()
    first = event_file({"train/loss": falling(4.0), "train/<b>lr</b>": [(0, 0.0003)]})
    again = event_file({"train/loss": [(190, 0.5), (200, float("nan")), (210, 0.25)]})
    put(repo, {f"runs/a/{EVENTS.format(1)}": first, f"runs/a/{EVENTS.format(2)}": again, "notes.txt": "x"})
    put_large(visitors, "ada/tiny-llm", f"runs/b/{EVENTS.format(3)}", event_file({"train/loss": falling(6)}))
    page = visitors.get(f"/ada/tiny-llm/blob/main/runs/a/{EVENTS.format(1)}").text
    assert page.count("<figure") == 2
    assert "train/loss 0.2" in page
    assert "0.0003</td>" in page
    assert "train/&lt;b&gt;lr" in page
    assert 'href="/ada/tiny-llm/curves/main"' in page
    large = visitors.get(f"/ada/tiny-llm/blob/main/runs/b/{EVENTS.format(3)}").text
    assert "train/loss 0.3" in large
    card = visitors.get("/ada/tiny-llm").text
    assert "Training curves" in card, "the tab"
    visitors.get("/ada/tiny-llm/curves/main")
    with counted() as seen:
        page = visitors.get("/ada/tiny-llm/curves/main").text
    assert len(seen) <= 12
    assert page.count("<figure") == 2
    assert "b 0.3, a 0.25" in page, "the newest run first"
    assert "NaN" not in page
    one = visitors.get("/ada/tiny-llm/curves/main?run=runs/a&run=nowhere").text
    assert "a 0.25" in one
    assert "b 0.3" not in one
    assert "训练曲线" in visitors.get("/ada/tiny-llm/curves/main", locale="zh").text


def test_repositories_of_every_type_and_none(visitors: Visitors, make_repo: MakeRepo, put: Put) -> None:
    data = make_repo("poems", repo_type=RepoType.DATASET)
    put(data, {EVENTS.format(1): event_file({"count": falling(3.0)})})
    assert "/datasets/ada/poems/curves/main" in visitors.get("/datasets/ada/poems").text
    assert "count: / 0.15" in visitors.get("/datasets/ada/poems/curves/main").text
    make_repo("empty")
    assert "No training curves here" in visitors.get("/ada/empty/curves/main").text
    plain = make_repo("plain")
    put(plain, {"a.txt": "x"})
    assert "Training curves" not in visitors.get("/ada/plain").text
    assert visitors.get("/ada/plain/curves/main").status_code == 200
    assert visitors.get("/ada/plain/curves/nowhere").status_code == 404


def test_others_see_no_curves_of_private_or_gated_repositories(
    visitors: Visitors, make_repo: MakeRepo, put: Put
) -> None:
    files = {f"runs/a/{EVENTS.format(1)}": event_file({"secret-tag": falling(3.0)})}
    put(make_repo("hidden", visibility="private"), files)
    for who in (None, "grace"):
        for path in ("curves/main", f"blob/main/runs/a/{EVENTS.format(1)}"):
            assert visitors.get(f"/ada/hidden/{path}", who).status_code in (401, 404)
    assert "secret-tag" in visitors.get("/ada/hidden/curves/main", "ada").text
    gated = make_repo("gated")
    put(gated, files)
    answer = visitors.client.put(
        "/api/models/ada/gated/settings",
        json={"gated": "manual"},
        headers={"authorization": f"Bearer {visitors.tokens['ada']}"},
    )
    assert answer.status_code == 200
    assert "secret-tag" not in visitors.get("/ada/gated/curves/main", "grace").text
    assert "secret-tag" in visitors.get("/ada/gated/curves/main", "ada").text


def test_damaged_files_are_said_to_be(visitors: Visitors, make_repo: MakeRepo, put: Put) -> None:
    repo = make_repo()
    torn = scalar("loss", 1, 2.0) + b"\0" * 64
    files = {"a": b"no events at all, but long enough", "b": torn, "c": event_file({}), "d": b""}
    put(repo, {f"runs/{name}/{EVENTS.format(1)}": data for name, data in files.items()})
    for name, words in (
        ("a", "no TensorBoard event file"),
        ("b", "1 damaged record"),
        ("c", "No scalars in this file"),
        ("d", "This file is empty"),
    ):
        assert words in visitors.get(f"/ada/tiny-llm/blob/main/runs/{name}/{EVENTS.format(1)}").text, name
    page = visitors.get("/ada/tiny-llm/curves/main").text
    assert "1 file could not be read" in page
    assert "1 damaged record" in page


def test_one_page_reads_only_so_much(rt: Runtime, make_repo: MakeRepo, put: Put) -> None:
    repo = make_repo()
    data = event_file({"loss": falling(9.0, 200)})
    put(
        repo,
        {f"runs/{number}/{EVENTS.format(number)}": data + scalar("n", number, 1.0) for number in range(4)},
    )
    git_repo = open_git(rt, repo)
    runs = list_event_runs(git_repo, resolve(git_repo, "main"))
    assert [run.folder for run in runs] == ["runs/3", "runs/2", "runs/1", "runs/0"]
    found = read_runs(rt, git_repo, runs, {}, max_bytes=len(data) + len(data) // 2)
    assert [one.is_cut for one in found] == [False, True, True, True]
    assert [len(one.points) for one in found] == [2, 1, 0, 0]
    # What was cut for want of room is read anew where there is room.
    assert not any(one.is_cut for one in read_runs(rt, git_repo, runs, {}))
