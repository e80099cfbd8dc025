"""The pages of discussions and pull requests, as browsers and people without script use them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event

from features.discussions.conftest import BASE, TRAIN, People, Place, comment_ids
from kit.browser import PASSWORD, Browser
from llmos.core import clock
from llmos.core.repo_types import RepoType
from llmos.features.accounts.models import User
from llmos.features.discussions.comments import LinePlace, add_comment, add_reaction, hide_comment
from llmos.features.discussions.models import Comment
from llmos.features.discussions.reviews import set_rules, submit_review
from llmos.features.discussions.threads import open_thread, pin_thread, set_status
from llmos.features.repos.lifecycle import create_repo
from llmos.features.repos.models import Repo
from llmos.infra.security.passwords import hash_password

MAX_QUERIES = 12


def open_one(place: Place, title: str = "Loss is NaN", text: str = "Since step 2", by: str = "grace") -> int:
    with place.rt.database.writing() as db:
        repo = db.get_one(Repo, place.repo.id)
        return open_thread(db, place.people[by], repo, title, text).num


def test_the_list_filters_sorts_and_keeps_pinned_first(place: Place, people: People) -> None:
    assert "Nothing is open" in people.read(BASE)
    first, second = open_one(place, "Pinned words"), open_one(place, "About <b>bold</b>", by="ada")
    third = open_one(place, "Closed already")
    with place.changing(first) as (db, ada, thread):
        pin_thread(db, ada, thread, True)
    with place.changing(third) as (db, ada, thread):
        set_status(db, ada, thread, "closed")
    place.commit({"a.txt": b"a\n"})
    pull = place.pull({"a.txt": b"b\n"}, message="Change a")
    page = people.read(BASE)
    order = [int(num) for num in re.findall(rf'<a href="{BASE}/(\d+)">', page)]
    assert order == [first, pull, second]
    assert "About &lt;b&gt;bold&lt;/b&gt;" in page
    assert re.search(r'Community</span><span class="count">3<', page)
    assert f"{BASE}/{third}" in people.read(f"{BASE}?status=closed")
    only_pulls = people.read(f"{BASE}?kind=pull_request&author=grace&sort=active")
    assert f'href="{BASE}/{pull}"' in only_pulls
    assert f'href="{BASE}/{first}"' not in only_pulls
    assert "Nothing fits" in people.read(f"{BASE}?search=nowhere")
    for bad in ("status=x", "kind=x", "sort=x", "p=0", "p=x", "author=%00"):
        assert people.get(f"{BASE}?{bad}").status_code == 400, bad


def test_every_type_has_the_pages_and_takes_no_other_name(place: Place, people: People) -> None:
    with place.rt.database.writing() as db:
        for kind, name in (
            (RepoType.DATASET, "discussions"),
            (RepoType.SPACE, "show"),
            (RepoType.KERNEL, "fast"),
        ):
            create_repo(
                db,
                place.ada,
                place.rt,
                name=name,
                repo_type=kind,
                sdk="static" if kind is RepoType.SPACE else None,
            )
    assert "ada" in people.read("/datasets/ada/discussions")
    for path in ("/datasets/ada/discussions", "/spaces/ada/show", "/kernels/ada/fast"):
        made = people.do(f"{path}/discussions/new", "grace", title="Hello", text="there")
        assert made == f"{path}/discussions/1"
        assert "there" in people.read(made)


def test_private_repositories_and_missing_threads_are_not_found(place: Place, people: People) -> None:
    with place.rt.database.writing() as db:
        create_repo(db, place.ada, place.rt, name="secret", visibility="private")
        repo = db.query(Repo).filter(Repo.name == "secret").one()
        open_thread(db, place.ada, repo, "Hidden words", "x")
    for path in ("", "/1", "/1/rename", "/new"):
        assert people.get(f"/ada/secret/discussions{path}", "grace").status_code == 404
    assert "Hidden words" in people.read("/ada/secret/discussions/1", "ada")
    assert people.post("/ada/secret/discussions/1/comment", "grace", text="x").status_code == 404
    assert people.get(f"{BASE}/99").status_code == 404
    assert people.get(f"{BASE}/99999999999999999999").status_code == 404


def test_opening_answering_closing(place: Place, people: People) -> None:
    refused = people.post(f"{BASE}/new", "grace", title=" ", text="My words")
    assert refused.status_code == 400
    assert "My words" in refused.text
    here = people.do(f"{BASE}/new", "grace", title="Why?", text="See @ada and `code`")
    assert here == f"{BASE}/1"
    there = people.do(f"{here}/comment", "ada", text="Because **so**")
    assert re.fullmatch(rf"{BASE}/1#comment-[0-9a-f]{{24}}", there)
    page = people.read(here)
    answer = there.partition("#comment-")[2]
    assert "Mark as answer" in people.read(here, "grace")
    people.do(f"{here}/comments/{answer}/answer", "grace", accept="1")
    assert "Answered" in people.read(BASE)
    assert "<strong>so</strong>" in page
    assert 'href="/ada"' in page
    assert people.do(f"{here}/comment", "grace", text="Thanks", then="close") == here
    late = people.post(f"{here}/comment", "ada", text="Words to keep", then="close")
    assert late.status_code == 409
    assert "Words to keep" in late.text
    assert "already closed" in late.text
    assert people.do(f"{here}/comment", "ada", then="open") == here
    assert "opened this again" in people.read(here)
    assert people.post(f"{here}/comment", "grace", text="").status_code == 400
    assert people.post(f"{here}/comment", None, text="x").status_code in (303, 403)
    huge = people.post(f"{here}/comment", "grace", text="x" * 1_000_000)
    assert huge.status_code == 413
    assert "1000000 bytes" in huge.text


def test_two_who_edit_at_once_lose_nothing(place: Place, people: People) -> None:
    here = f"{BASE}/{open_one(place)}"
    (first,) = comment_ids(place, 1)
    edit = f"{here}/comments/{first}/edit"
    assert 'name="version" value="1"' in people.read(edit, "grace")
    people.do(edit, "grace", text="The newer text", version="1")
    lost = people.post(edit, "grace", text="My other text", version="1")
    assert lost.status_code == 409
    assert "The newer text" in lost.text
    assert "My other text" in lost.text
    assert 'name="version" value="2"' in lost.text
    people.do(edit, "grace", text="My other text", version="2")
    history = people.read(f"{here}/comments/{first}/history")
    assert "Version 3" in history
    assert "Since step 2" in history
    assert "edited" in people.read(here)
    assert people.get(edit, "ada").status_code == 403
    assert people.post(edit, "ada", text="Not mine", version="3").status_code == 403


def test_hidden_comments_show_a_stub_that_maintainers_unfold(place: Place, people: People) -> None:
    num = open_one(place, text="Buy cheap things")
    here, (first,) = f"{BASE}/{num}", comment_ids(place, num)
    assert people.get(f"{here}/comments/{first}/hide", "root-admin").status_code == 200
    people.do(f"{here}/comments/{first}/hide", "ada", reason="Advertising")
    public = people.read(here)
    assert "This comment is hidden." in public
    assert "Advertising" in public
    assert "Buy cheap things" not in public
    assert "Buy cheap things" in people.read(here, "ada")
    assert people.get(f"{here}/comments/{first}/history").status_code == 404


def test_reactions_turn_on_and_off_with_and_without_script(place: Place, people: People) -> None:
    num = open_one(place)
    here, (first,) = f"{BASE}/{num}", comment_ids(place, num)
    react = f"{here}/comments/{first}/react"
    people.do(react, "ada", emoji="👍")
    assert 'aria-pressed="true"' in people.read(here, "ada")
    answer = people.client.post(
        react, data={"emoji": "👍"}, headers=people._headers("ada", **{"hx-request": "true"})
    )
    assert answer.status_code == 200
    assert "👍</span><span" not in answer.text
    assert people.post(react, "ada", emoji="💣").status_code == 400


def test_maintainers_rename_pin_and_lock(place: Place, people: People) -> None:
    here = f"{BASE}/{open_one(place, by='ada')}"
    people.do(f"{here}/rename", "ada", title="A better title")
    people.do(f"{here}/pin", "ada", on="1")
    people.do(f"{here}/lock", "ada", on="1")
    page = people.read(here, "grace")
    assert "A better title" in page
    assert "This thread is locked" in page
    assert 'action="/ada/tiny-llm/discussions/1/comment"' not in page
    assert people.post(f"{here}/comment", "grace", text="x").status_code == 403
    assert people.post(f"{here}/pin", "grace", on="1").status_code == 403
    assert people.post(f"{here}/rename", "ada", title="").status_code == 400


def test_forms_need_their_token(place: Place, people: People) -> None:
    here = f"{BASE}/{open_one(place)}"
    with place.rt.database.writing() as db:
        for user in db.query(User):
            user.password_hash = hash_password(PASSWORD)
    browser = Browser(people.client)
    browser.sign_in("ada")
    headers = {"origin": "http://testserver", "accept": "text/html"}
    for action in ("comment", "pin", "lock", "rename", "merge", "line", "review", "conflicts"):
        answer = people.client.post(f"{here}/{action}", data={"text": "x", "on": "1"}, headers=headers)
        assert answer.status_code == 403, action
    assert browser.post(f"{here}/comment", here, text="With a token").status_code == 303


def test_long_threads_are_read_in_parts(place: Place, people: People) -> None:
    num = open_one(place)
    with place.changing(num) as (db, grace, thread):
        for number in range(1, 181):
            db.add(
                Comment(
                    thread_id=thread.id,
                    author_id=grace.user_id,
                    text=f"Number {number}.",
                    created_at=clock.now(),
                )
            )
        thread.comment_count = 181
    ids = comment_ids(place, num)
    page = people.read(f"{BASE}/{num}")
    assert "Number 9." in page
    assert "Number 10." not in page
    assert "Number 180." in page
    assert "Load 151 more items" in page
    gap = re.search(rf'hx-get="({BASE}/{num}\?after=\d+&amp;until=\d+)"', page)
    assert gap is not None
    middle = people.read(gap[1].replace("&amp;", "&"))
    assert "Number 10." in middle
    assert "Number 39." in middle
    assert "Number 180." not in middle
    assert "Load 121 more items" in middle
    link = people.get(f"{BASE}/{num}/comments/{ids[100]}").headers["location"]
    assert link.endswith(f"#comment-{ids[100]}")
    assert "Number 100." in people.read(link)
    assert people.get(f"{BASE}/{num}?after=x").status_code == 400


def test_a_review_with_lines_and_a_suggestion(place: Place, people: People, pull: int) -> None:
    here = f"{BASE}/{pull}"
    files = people.read(f"{here}/files", "ada")
    assert "second = two" in files
    line = f"{here}/line?path=train.py&side=new&line=4"
    assert line.replace("&", "&amp;") in files
    part = people.read(f"{line}&suggest=1", "ada", **{"hx-request": "true"})
    assert part.lstrip().startswith("<tr")
    assert "```suggestion\nsecond = two\n```" in part
    assert "train.py" in people.read(line, "ada")
    oid = re.search(r'name="oid" value="([0-9a-f]{40})"', part)
    assert oid is not None
    fields = {"path": "train.py", "side": "new", "line": "4", "start_line": "4", "oid": oid[1]}
    text = "Name it:\n\n```suggestion\nsecond = 2.0\n```"
    there = people.do(f"{here}/line", "ada", text=text, **fields)
    public_id = there.partition("#comment-")[2]
    reply = people.do(f"{here}/line", "grace", text="Sure", reply=public_id, **fields)
    assert reply.startswith(f"{here}/files#comment-")
    files = people.read(f"{here}/files", "grace")
    assert files.count('class="diff-thread"') == 1
    assert "Apply this suggestion" in files
    assert "Apply this suggestion" not in people.read(here)
    for bad in ({"line": "400"}, {"side": "up"}, {"line": "x"}, {"path": ""}):
        assert people.post(f"{here}/line", "ada", text="x", **{**fields, **bad}).status_code == 400, bad
    kept = people.post(f"{here}/line", "ada", text="   ", **fields)
    assert kept.status_code == 400
    assert "train.py" in kept.text
    people.do(f"{here}/comments/{public_id}/apply", "grace")
    files = people.read(f"{here}/files", "grace")
    assert "second = 2.0" in files
    assert "Resolved" in files
    assert people.post(f"{here}/comments/{public_id}/apply", "grace").status_code == 409
    people.do(f"{here}/comments/{public_id}/resolve", "grace", resolved="")
    assert "On lines that have changed since" in people.read(f"{here}/files", "grace")
    assert people.post(f"{here}/review", "grace", verdict="approve").status_code == 400
    empty = people.post(f"{here}/review", "ada", verdict="request_changes", text="")
    assert empty.status_code == 400
    people.do(f"{here}/review", "ada", verdict="approve", text="Fine now")
    page = people.read(here)
    assert "approved these changes" in page
    assert "added 1 commit" in page
    assert people.read(f"{here}/commits").count('class="commit-row"') == 2


def test_merging_twice_tells_the_loser_and_keeps_the_words(place: Place, people: People, pull: int) -> None:
    here = f"{BASE}/{pull}"
    page = people.read(here, "ada")
    head = re.search(r'name="head" value="([0-9a-f]{40})"', page)
    assert head is not None
    assert f"Say two (#{pull})" in page
    assert "Squash and merge" not in people.read(here, "grace")
    assert people.post(f"{here}/merge", "grace", method="squash").status_code == 403
    wish = {"method": "squash", "head": head[1], "summary": "My own words", "body": "Why so"}
    assert people.do(f"{here}/merge", "ada", **wish) == here
    late = people.post(f"{here}/merge", "ada", **wish | {"text": "Too late"})
    assert late.status_code == 409
    assert "already merged" in late.text
    assert "Too late" in late.text
    assert "Merged into main" in people.read(here)
    assert "My own words" in people.read("/ada/tiny-llm/commits/main")
    moved = place.pull({"other.txt": b"o\n"})
    stale = people.post(f"{BASE}/{moved}/merge", "ada", **wish | {"summary": "Kept words"})
    assert stale.status_code == 409
    assert "New commits were pushed" in stale.text
    assert "Kept words" in stale.text


def test_rules_stand_in_the_way_of_a_merge(place: Place, people: People, pull: int) -> None:
    settings = "/ada/tiny-llm/settings/community"
    assert people.get(settings, "grace").status_code == 403
    assert settings in people.read("/ada/tiny-llm/settings", "ada")
    people.do(settings, "ada", is_on="on", approvals="2", checks="tests\nlint")
    page = people.read(f"{BASE}/{pull}", "ada")
    assert "0 of 2 approvals" in page
    assert "expected" in page
    assert people.post(f"{BASE}/{pull}/merge", "ada", method="squash").status_code == 403
    bad = people.post(settings, "ada", is_on="on", approvals="99", checks="")
    assert bad.status_code == 400
    people.do(settings, "ada", approvals="0", checks="")
    assert "switched off here" in people.read(BASE)
    assert people.get(f"{BASE}/new", "grace").status_code == 403
    assert people.post(f"{BASE}/{pull}/comment", "grace", text="x").status_code == 403


def test_drafts_conflicts_and_deleted_branches(place: Place, people: People, pull: int) -> None:
    place.commit({"train.py": TRAIN.replace(b"second = 2", b"second = deux"), "b.bin": b"\0base"})
    here = f"{BASE}/{pull}"
    page = people.read(here, "grace")
    assert "1 file changed on both sides" in page
    form = people.read(f"{here}/conflicts", "grace")
    assert "second = deux" in form
    assert "this pull request" in form
    assert people.get(f"{here}/conflicts", "root-admin").status_code == 200
    marks = {"path-1": "train.py", "take-1": "text", "text-1": "<<<<<<< a\nMy typing\n>>>>>>> b\n"}
    kept = people.post(f"{here}/conflicts", "grace", **marks)
    assert kept.status_code == 400
    assert "My typing" in kept.text
    assert people.post(f"{here}/conflicts", "grace", **{"path-1": "train.py"}).status_code == 409
    people.do(f"{here}/conflicts", "grace", **{"path-1": "train.py", "take-1": "base"})
    assert "There is no conflict" in people.read(f"{here}/conflicts", "grace")
    made = people.do(f"{BASE}/new-pull", "grace", title="A draft", text="")
    draft = people.read(made, "grace")
    assert "This is a draft" in draft
    assert "No changes yet" in draft
    assert "No description given." in draft
    assert "refs/pr/" in draft
    people.do(f"{made}/comment", "grace", then="open")
    assert "marked this as ready" in people.read(made)
    assert people.post(f"{BASE}/new-pull", "grace", title="x", base="nowhere").status_code == 404
    assert "--create-pr" in people.read(f"{BASE}/new-pull", "grace")


def test_gated_files_stay_closed(place: Place, people: People, pull: int) -> None:
    with place.rt.database.writing() as db:
        db.get_one(Repo, place.repo.id).gated = "manual"
    here = f"{BASE}/{pull}"
    for path in ("files", "commits", "line?path=train.py&line=4", "conflicts"):
        assert people.get(f"{here}/{path}", "root-admin").status_code == 200
        assert people.get(f"{here}/{path}").status_code in (303, 401, 403)
    assert people.get(here).status_code == 200


@pytest.fixture
def counted() -> Iterator[Callable[[], int]]:
    statements: list[str] = []

    def note(*args: Any) -> None:
        if args[2] != "BEGIN":
            statements.append(args[2])

    event.listen(Engine, "before_cursor_execute", note)

    def count() -> int:
        number = len(statements)
        if number > MAX_QUERIES:
            print(*(statement[:300] for statement in statements), sep="\n--\n")
        statements.clear()
        return number

    yield count
    event.remove(Engine, "before_cursor_execute", note)


def test_pages_ask_the_database_little(
    place: Place, people: People, pull: int, counted: Callable[[], int]
) -> None:
    num = open_one(place, text="@ada look at #1")
    with place.changing(num, "grace") as (db, grace, thread):
        for number in range(60):
            comment = add_comment(db, grace, thread, f"@grace {number}")
            add_reaction(db, grace, thread, comment, "👍")
        hide_comment(db, grace, thread, comment)
    with place.changing(pull) as (db, ada, thread):
        head = thread.pull.head_oid if thread.pull else ""
        add_comment(db, ada, thread, "@grace here", place=LinePlace("train.py", "new", 4, head or ""))
        submit_review(db, ada, thread, "request_changes", "Not @ada yet")
        set_rules(db, ada, db.get_one(Repo, place.repo.id), required_approvals=1, required_checks=["tests"])
    paths = ("", f"/{num}", f"/{pull}", f"/{pull}/files", f"/{pull}/commits", "/new", f"/{num}/rename")
    for who in ("grace", "root-admin", None):
        for path in paths:
            people.get(f"{BASE}{path}", who)
            counted()
            people.get(f"{BASE}{path}", who)
            number = counted()
            assert number <= MAX_QUERIES, (path, who, number)
