"""Discussions and pull requests through the official client."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DiscussionComment, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from hf_contract.helpers import add_regular
from kit.server import LiveServer

Make = Callable[..., str]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def refused(status: int, call: Callable[[], object]) -> str:
    """The message of a refusal with this status."""
    with pytest.raises(HfHubHTTPError) as caught:
        call()
    assert caught.value.response.status_code == status
    return str(caught.value)


def hide(api: HfApi, repo_id: str, comment_id: str) -> DiscussionComment:
    with pytest.warns(UserWarning, match="irreversible"):
        return api.hide_discussion_comment(repo_id, 1, comment_id)


def test_a_discussion_from_opening_to_closing(ada: HfApi, grace: HfApi, repo: Make) -> None:
    name = repo()
    made = grace.create_discussion(name, "Does it speak Chinese? 你好", description="I **tried**.")
    assert (made.num, made.status, made.author, made.is_pull_request) == (1, "open", "grace", False)
    assert made.events[0].content == "I **tried**."  # type: ignore[attr-defined]
    assert "<strong>tried</strong>" in made.events[0].rendered  # type: ignore[attr-defined]
    assert made.diff is None
    assert made.conflicting_files is None

    comment = ada.comment_discussion(name, 1, "It does.")
    assert (comment.author, comment.content, comment.edited, comment.hidden) == (
        "ada",
        "It does.",
        False,
        False,
    )
    edited = ada.edit_discussion_comment(name, 1, comment.id.upper(), "It does, a little.")
    assert edited.edited
    assert edited.number_of_edits == 1
    assert edited.edit_history[0]["raw"] == "It does."
    assert edited.last_edited_by == "ada"

    title = grace.rename_discussion(name, 1, "Chinese?")
    assert (title.old_title, title.new_title) == ("Does it speak Chinese? 你好", "Chinese?")
    status = grace.change_discussion_status(name, 1, "closed", comment="Thank you.")
    assert status.new_status == "closed"
    hidden = hide(ada, name, comment.id)
    assert hidden.hidden

    details = grace.get_discussion_details(name, 1)
    assert (details.title, details.status) == ("Chinese?", "closed")
    assert [event.type for event in details.events] == [
        "comment", "comment", "title-change", "comment", "status-change",
    ]  # fmt: skip
    shown = details.events[1]
    assert shown.hidden  # type: ignore[attr-defined]
    assert "a little" not in str(shown._event)
    again = ada.change_discussion_status(name, 1, "open")
    assert again.new_status == "open"
    assert ada.change_discussion_status(name, 1, "closed").new_status == "closed"


def test_lists_filter_and_end(ada: HfApi, grace: HfApi, repo: Make) -> None:
    name = repo()
    ada.create_discussion(name, "First", description="one")
    grace.create_discussion(name, "Second", description="two")
    draft = grace.create_pull_request(name, "Third", description="three")
    assert (draft.num, draft.status, draft.git_reference) == (3, "draft", "refs/pr/3")
    ada.change_discussion_status(name, 1, "closed")

    def nums(**options: str) -> list[int]:
        return [found.num for found in ada.get_repo_discussions(name, **options)]  # type: ignore[arg-type]

    assert nums() == [3, 2, 1]
    assert nums(discussion_type="pull_request") == [3]
    assert nums(discussion_type="discussion") == [2, 1]
    assert nums(discussion_status="open") == [3, 2]
    assert nums(discussion_status="closed") == [1]
    assert nums(author="grace") == [3, 2]
    assert nums(author="nobody-at-all") == []
    first = next(iter(ada.get_repo_discussions(name)))
    assert (first.repo_id, first.repo_type) == (name, "model")


@pytest.mark.parametrize("repo_type", ["dataset", "space"])
def test_other_types(ada: HfApi, repo: Make, repo_type: str) -> None:
    name = f"ada/talk-{repo_type}"
    ada.create_repo(name, repo_type=repo_type, space_sdk="static" if repo_type == "space" else None)
    made = ada.create_discussion(name, "Hello", description="words", repo_type=repo_type)
    assert made.repo_type == repo_type
    found = ada.get_discussion_details(name, 1, repo_type=repo_type)
    assert found.title == "Hello"
    assert f"/discussions/{made.num}" in made.url


def test_kernels_talk_too(as_ada: httpx.Client, repo: Make) -> None:
    from llmos.core.repo_types import RepoType

    name = repo(repo_type=RepoType.KERNEL)
    made = as_ada.post(f"/api/kernels/{name}/discussions", json={"title": "Hello", "description": "x"})
    assert made.json()["num"] == 1
    assert as_ada.get(f"/api/kernels/{name}/discussions").json()["count"] == 1


def test_a_pull_request_from_a_commit_to_the_merge(ada: HfApi, grace: HfApi, repo: Make) -> None:
    name = repo()
    grace.create_discussion(name, "Typo", description="In the config.")
    commit = grace.create_commit(
        name,
        [CommitOperationAdd("config.json", b'{"a": 1}\n')],
        commit_message="Add a config",
        commit_description="It was missing. Fixes #1",
        create_pr=True,
    )
    assert commit.pr_num == 2
    assert commit.pr_revision == "refs/pr/2"
    details = ada.get_discussion_details(name, 2)
    assert (details.status, details.title, details.author) == ("open", "Add a config", "grace")
    assert details.target_branch == "refs/heads/main"
    assert details.conflicting_files == []
    assert details.merge_commit_oid is None
    assert '+{"a": 1}' in (details.diff or "")
    assert [event.type for event in details.events] == ["comment", "commit"]
    assert details.events[1].oid == commit.oid  # type: ignore[attr-defined]

    second = add_regular(grace, name, {"notes.txt": b"hi\n"}, message="More", revision="refs/pr/2")
    assert ada.get_discussion_details(name, 2).events[-1].oid == second  # type: ignore[attr-defined]

    assert "write" in refused(403, lambda: grace.merge_pull_request(name, 2))
    ada.merge_pull_request(name, 2, comment="Lovely")
    merged = ada.get_discussion_details(name, 2)
    assert merged.status == "merged"
    assert merged.merge_commit_oid == ada.repo_info(name).sha
    assert '+{"a": 1}' in (merged.diff or "")
    assert [event.type for event in merged.events][-2:] == ["comment", "status-change"]
    newest = ada.list_repo_commits(name)[0]
    assert newest.title == "Add a config (#2)"
    assert newest.authors == ["grace"]
    assert "notes.txt" in ada.list_repo_files(name)
    assert ada.get_discussion_details(name, 1).status == "closed"
    assert "merged" in refused(409, lambda: ada.merge_pull_request(name, 2))


def test_a_draft_takes_commits_and_is_offered_then_merged(ada: HfApi, repo: Make) -> None:
    name = repo()
    draft = ada.create_pull_request(name, "Work in progress")
    assert draft.diff == ""
    assert "draft" in refused(409, lambda: ada.merge_pull_request(name, draft.num))
    add_regular(ada, name, {"a.txt": b"a\n"}, revision="refs/pr/1")
    assert ada.get_discussion_details(name, 1).status == "draft"
    ada.change_discussion_status(name, 1, "open")
    ada.merge_pull_request(name, 1)
    assert "a.txt" in ada.list_repo_files(name)
    empty = ada.create_pull_request(name, "Nothing in it")
    ada.change_discussion_status(name, empty.num, "open")
    ada.merge_pull_request(name, empty.num)
    assert ada.get_discussion_details(name, empty.num).merge_commit_oid


def test_conflicts_and_deleted_branches_are_said(ada: HfApi, repo: Make, as_ada: httpx.Client) -> None:
    name = repo()
    add_regular(ada, name, {"a.txt": b"one\n", "b.txt": b"same\n"})
    add_regular(ada, name, {"a.txt": b"theirs\n"}, create_pr=True)
    add_regular(ada, name, {"a.txt": b"ours\n"})
    assert ada.get_discussion_details(name, 1).conflicting_files == ["a.txt"]
    said = as_ada.post(f"/api/models/{name}/discussions/1/merge", json={"comment": "my words"})
    assert said.status_code == 409
    assert said.json()["files"] == ["a.txt"]
    assert said.json()["text"] == "my words"
    ada.create_branch(name, branch="dev")
    operations = [CommitOperationDelete("b.txt")]
    ada.create_commit(name, operations, commit_message="Drop b", revision="dev", create_pr=True)
    ada.delete_branch(name, branch="dev")
    gone = ada.get_discussion_details(name, 2)
    assert gone.target_branch == "refs/heads/dev"
    assert "b.txt" in (gone.diff or "")
    assert gone.events[-1].type == "branch-deleted"
    assert "was deleted" in refused(409, lambda: ada.merge_pull_request(name, 2))


def test_strangers_cannot_tell_that_a_private_repository_talks(
    ada: HfApi, grace: HfApi, repo: Make, http: httpx.Client
) -> None:
    name = repo(visibility="private")
    ada.create_discussion(name, "Secret", description="plans")
    calls: list[Callable[[], object]] = [
        lambda: list(grace.get_repo_discussions(name)),
        lambda: grace.get_discussion_details(name, 1),
        lambda: grace.create_discussion(name, "Let me in"),
        lambda: grace.create_pull_request(name, "Let me in"),
        lambda: grace.comment_discussion(name, 1, "hello"),
        lambda: grace.merge_pull_request(name, 1),
    ]
    for call in calls:
        with pytest.raises(RepositoryNotFoundError) as caught:
            call()
        assert caught.value.response.status_code == 404
    assert http.get(f"/api/models/{name}/discussions/1").status_code == 401


def test_who_may_do_what(ada: HfApi, grace: HfApi, repo: Make, http: httpx.Client) -> None:
    name = repo()
    made = ada.create_discussion(name, "Mine", description="words")
    own = made.events[0].id
    assert "author" in refused(403, lambda: grace.rename_discussion(name, 1, "Yours"))
    assert "author" in refused(403, lambda: grace.change_discussion_status(name, 1, "closed"))
    assert "author" in refused(403, lambda: grace.edit_discussion_comment(name, 1, own, "Yours"))
    assert "author" in refused(403, lambda: hide(grace, name, own))
    refused(404, lambda: grace.edit_discussion_comment(name, 1, "0" * 24, "Yours"))
    refused(404, lambda: ada.get_discussion_details(name, 99))
    assert "not a pull request" in refused(400, lambda: ada.merge_pull_request(name, 1))
    # What others wrote can be hidden by the owner, not rewritten.
    theirs = grace.comment_discussion(name, 1, "Buy pills").id
    assert "author" in refused(403, lambda: ada.edit_discussion_comment(name, 1, theirs, "I love ada"))
    hide(ada, name, theirs)
    assert "hidden" in refused(403, lambda: grace.edit_discussion_comment(name, 1, theirs, "again"))
    assert http.post(f"/api/models/{name}/discussions/1/comment", json={"comment": "x"}).status_code == 401


def test_texts_are_checked(ada: HfApi, repo: Make, as_ada: httpx.Client) -> None:
    name = repo()
    ada.create_discussion(name, "Limits", description="words")
    size = 1024 * 1024
    assert f"{size} bytes" in refused(413, lambda: ada.comment_discussion(name, 1, "x" * size))
    assert "empty" in refused(400, lambda: ada.comment_discussion(name, 1, " \u200b\n"))
    url = f"/api/models/{name}/discussions"
    for bad in ({}, {"comment": 3}, {"comment": None}, {"comment": ["x"]}, {"comment": "a\0b"}):
        assert as_ada.post(f"{url}/1/comment", json=bad).status_code == 400, bad
    surrogate = as_ada.post(f"{url}/1/comment", content=b'{"comment": "\\ud800"}')
    assert surrogate.status_code == 400
    for title in ("", "   ", "x" * 300, "\u200b", "a\0b"):
        answer = as_ada.post(url, json={"title": title, "description": "d"})
        assert answer.status_code == 400, title
        assert "title" in answer.json()["error"]
    made = as_ada.post(url, json={"title": "safe\u202egpj.exe\nnext", "description": "d"}).json()["num"]
    assert ada.get_discussion_details(name, made).title == "safegpj.exe next"
    assert as_ada.post(f"{url}/1/status", json={"status": "merged"}).status_code == 400
    for query in ("p=-1", "p=x", "type=no", "status=no", "p=99999999999", "author=%00", "search=a%00"):
        assert as_ada.get(f"{url}?{query}").status_code == 400, query
    assert as_ada.get(f"{url}/{10**30}").status_code == 404
    assert as_ada.post(f"{url}/1/comment/%00a/hide").status_code == 404


def test_numbers_merges_and_edits_race(ada: HfApi, repo: Make, as_ada: httpx.Client) -> None:
    name = repo()
    url = f"/api/models/{name}/discussions"

    def post(path: str, body: object) -> httpx.Response:
        return as_ada.post(url + path, json=body)

    with ThreadPoolExecutor(6) as pool:
        texts = {"description": "d"}
        asked = [{"title": f"T{n}", "pullRequest": n % 2 == 0, **texts} for n in range(6)]
        made = list(pool.map(lambda body: post("", body).json()["num"], asked))
    assert sorted(made) == [1, 2, 3, 4, 5, 6]

    number = ada.create_commit(
        name, [CommitOperationAdd("race.txt", b"x")], commit_message="Race", create_pr=True
    ).pr_num
    with ThreadPoolExecutor(4) as pool:
        body = {"comment": "mine"}
        answers = list(pool.map(lambda _: post(f"/{number}/merge", body), range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    lost = next(answer for answer in answers if answer.status_code == 409).json()
    assert (lost["status"], lost["text"]) == ("merged", "mine")
    assert number is not None
    events = ada.get_discussion_details(name, number).events
    assert [event.type for event in events].count("status-change") == 1
    assert [getattr(event, "content", "") for event in events].count("mine") == 1

    comment = ada.comment_discussion(name, 1, "start").id
    with ThreadPoolExecutor(2) as pool:
        bodies = [{"content": f"version {n}", "version": 1} for n in range(2)]
        edits = list(pool.map(lambda body: post(f"/1/comment/{comment}/edit", body), bodies))
    assert sorted(edit.status_code for edit in edits) == [200, 409]
    won, lost_edit = sorted(edits, key=lambda edit: edit.status_code)
    now = won.json()["updatedComment"]["data"]["latest"]["raw"]
    assert lost_edit.json()["current"] == now
    assert lost_edit.json()["text"] != now


def test_uploads(ada: HfApi, tmp_path: Path, http: httpx.Client, as_ada: httpx.Client) -> None:
    picture = tmp_path / "screen shot.png"
    picture.write_bytes(PNG)
    address = ada.upload_attachment(picture)
    found = http.get(address)
    assert found.content == PNG
    assert found.headers["content-type"] == "image/png"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in found.headers["content-security-policy"]
    assert http.get(address, headers={"Range": "bytes=0-3"}).content == PNG[:4]
    for type_, body, status in (
        ("image/svg+xml", b"<svg/>", 415),
        ("text/html", b"<p>", 415),
        ("", b"x", 415),
        ("image/png", b"<script>alert(1)</script>", 400),
        ("image/png", PNG + bytes(10 * 1024 * 1024), 413),
    ):
        answer = as_ada.post("/uploads", content=body, headers={"Content-Type": type_})
        assert answer.status_code == status, type_
    assert http.post("/uploads", content=PNG, headers={"Content-Type": "image/png"}).status_code == 401
    stem = address.rpartition(".")[0]
    for bad in (stem + ".mp4", stem + ".html", address.replace("/-/uploads/", "/-/uploads/0")):
        assert http.get(bad).status_code == 404


def test_git_pushes_to_a_pull_request(
    ada: HfApi, grace: HfApi, repo: Make, server: LiveServer, tmp_path: Path
) -> None:
    name = repo()
    number = grace.create_pull_request(name, "By git").num

    def git(*args: str) -> None:
        who = ["-c", "user.name=Grace", "-c", "user.email=g@example.org"]
        subprocess.run(["git", *who, *args], cwd=tmp_path, check=True, capture_output=True)

    host = server.url.removeprefix("http://")
    git("clone", "-q", f"http://grace:{server.tokens['grace']}@{host}/{name}", "work")
    (tmp_path / "work" / "new.txt").write_text("by git\n")
    git("-C", "work", "add", "-A")
    git("-C", "work", "commit", "-q", "-m", "Add new by git")
    git("-C", "work", "push", "-q", "origin", f"HEAD:refs/pr/{number}")
    details = grace.get_discussion_details(name, number)
    assert details.events[-1].summary == "Add new by git"  # type: ignore[attr-defined]
    assert "+by git" in (details.diff or "")
    grace.change_discussion_status(name, number, "open")
    ada.merge_pull_request(name, number)
    assert "new.txt" in ada.list_repo_files(name)


def test_checks_are_reported_on_commits(
    ada: HfApi, repo: Make, as_ada: httpx.Client, http: httpx.Client
) -> None:
    name = repo()
    url = f"/api/models/{name}/checks/main"
    for state in ("pending", "success"):
        body = {"name": "tests", "state": state, "url": "https://ci.example.org/7"}
        assert as_ada.post(url, json=body).json() == {"oid": ada.repo_info(name).sha}
    found = http.get(url).json()["checks"]
    assert [(check["name"], check["state"]) for check in found] == [("tests", "success")]
    assert http.post(url, json={"name": "tests", "state": "failure"}).status_code == 401
    for bad in ({}, {"name": "x", "state": "?"}, {"name": "x\n", "state": "success"},
                {"name": "x", "state": "success", "url": "javascript:1"}):  # fmt: skip
        assert as_ada.post(url, json=bad).status_code == 400, bad
    assert as_ada.post(f"/api/models/{name}/checks/nowhere", json=body).status_code == 404


def test_narrow_tokens(server: LiveServer, repo: Make, server_rt: object) -> None:
    from sqlalchemy import select

    from kit.people import add_token
    from llmos.features.accounts.models import Namespace, User
    from llmos.infra.runtime import Runtime

    assert isinstance(server_rt, Runtime)
    name = repo()
    with server_rt.database.writing() as db:
        wanted = select(User).join(User.namespace).where(Namespace.name_key == "grace")
        user = db.scalars(wanted).unique().one()
        read_only = add_token(db, user, role="read", name="reader")
    reader = HfApi(endpoint=server.url, token=read_only)
    assert list(reader.get_repo_discussions(name)) == []
    assert "token" in refused(403, lambda: reader.create_discussion(name, "No", description="no"))
    assert "token" in refused(403, lambda: reader.create_pull_request(name, "No", description="no"))
