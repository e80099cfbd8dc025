"""Rows of discussions and pull requests."""

from __future__ import annotations

import base64

from clients.rows import World, row, status_of

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4//8/AwAI/AL+p5qgoAAAAABJRU5ErkJggg=="
)


def talk(w: World, kind: str = "model") -> tuple[str, int]:
    """A repository with a discussion that grace began."""
    name = w.repo(kind)
    made = w.grace.create_discussion(name, "A question", description="How?", repo_type=kind)
    return name, made.num


@row("GET /api/{T}/{id}/discussions", "get_repo_discussions")
def listing(w: World) -> None:
    name, first = talk(w)
    second = w.ada.create_pull_request(name, "A draft").num
    found = list(w.ada.get_repo_discussions(name))
    assert [(item.num, item.is_pull_request) for item in found] == [(second, True), (first, False)]
    filters = {"discussion_type": "discussion", "discussion_status": "open", "author": "grace"}
    assert [item.num for item in w.ada.get_repo_discussions(name, **filters)] == [first]
    assert list(w.ada.get_repo_discussions(name, discussion_status="closed")) == []


@row("GET /api/{T}/{id}/discussions/{num}", "get_discussion_details")
def details(w: World) -> None:
    for kind in ("model", "dataset", "space"):
        name, num = talk(w, kind)
        found = w.ada.get_discussion_details(name, num, repo_type=kind)
        assert (found.title, found.author, found.status) == ("A question", "grace", "open")
        assert [event.content for event in found.events] == ["How?"]
    pull = w.add(name, {"p.txt": b"proposed\n"}, repo_type=kind, create_pr=True).pr_num
    found = w.ada.get_discussion_details(name, pull, repo_type=kind)
    assert "+proposed" in found.diff
    assert (found.is_pull_request, found.target_branch) == (True, "refs/heads/main")
    assert found.conflicting_files in (False, [])


@row("POST /api/{T}/{id}/discussions", "create_discussion", "create_pull_request")
def create(w: World) -> None:
    name, num = talk(w, "dataset")
    pull = w.grace.create_pull_request(name, "A change", description="Why", repo_type="dataset")
    assert (num, pull.num, pull.status, pull.git_reference) == (1, 2, "draft", "refs/pr/2")
    private = w.repo(private=True)
    assert status_of(lambda: w.grace.create_discussion(private, "Hello")) == 404


@row("POST /api/{T}/{id}/discussions/{num}/comment", "comment_discussion")
def comment(w: World) -> None:
    name, num = talk(w)
    made = w.ada.comment_discussion(name, num, "**So**")
    assert (made.content, made.author, made.edited) == ("**So**", "ada", False)
    assert "<strong>So</strong>" in made.rendered


@row("POST /api/{T}/{id}/discussions/{num}/comment/{comment}/edit", "edit_discussion_comment")
def edit(w: World) -> None:
    name, num = talk(w)
    made = w.ada.comment_discussion(name, num, "one")
    changed = w.ada.edit_discussion_comment(name, num, made.id, "two")
    assert (changed.content, changed.edited, changed.number_of_edits) == ("two", True, 1)
    assert status_of(lambda: w.grace.edit_discussion_comment(name, num, made.id, "mine")) == 403


@row("POST /api/{T}/{id}/discussions/{num}/comment/{comment}/hide", "hide_discussion_comment")
def hide(w: World) -> None:
    name, num = talk(w)
    made = w.ada.comment_discussion(name, num, "one")
    hidden = w.ada.hide_discussion_comment(name, num, made.id)
    assert hidden.hidden


@row("POST /api/{T}/{id}/discussions/{num}/title", "rename_discussion")
def rename(w: World) -> None:
    name, num = talk(w)
    change = w.ada.rename_discussion(name, num, "Better")
    assert (change.old_title, change.new_title) == ("A question", "Better")


@row("POST /api/{T}/{id}/discussions/{num}/status", "change_discussion_status")
def status(w: World) -> None:
    name, num = talk(w)
    assert w.ada.change_discussion_status(name, num, "closed", comment="Done").new_status == "closed"
    assert w.ada.get_discussion_details(name, num).status == "closed"
    assert w.ada.change_discussion_status(name, num, "open").new_status == "open"


@row("POST /api/{T}/{id}/discussions/{num}/merge", "merge_pull_request")
def merge(w: World) -> None:
    name = w.repo()
    pull = w.add(name, {"p.txt": b"p"}, create_pr=True).pr_num
    w.ada.merge_pull_request(name, pull, comment="Thanks")
    found = w.ada.get_discussion_details(name, pull)
    assert (found.status, bool(found.merge_commit_oid)) == ("merged", True)
    assert "p.txt" in w.ada.list_repo_files(name)


@row("POST /uploads", "upload_attachment")
def upload(w: World) -> None:
    picture = w.folder / "dot.png"
    picture.write_bytes(PNG)
    assert w.ada.upload_attachment(picture).startswith(w.ada.endpoint)
