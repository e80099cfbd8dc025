"""A review gathered line by line: nobody else knows of it until it is sent, and then all of it."""

from __future__ import annotations

import re

from features.discussions.conftest import BASE, People, Place, comment_ids
from llmos.app.tasks import periodic_tasks
from llmos.features.discussions.models import Comment, ReviewNote
from llmos.features.discussions.review_notes import MAX_NOTES
from llmos.features.notifications.models import Notification
from llmos.features.rights.export import collect_data
from llmos.infra.queue.outbox import deliver_due

LINE = {"path": "train.py", "side": "new", "line": "4", "start_line": "4", "oid": ""}


def note_ids(place: Place) -> list[str]:
    with place.rt.database.reading() as db:
        return [note.public_id for note in db.query(ReviewNote).order_by(ReviewNote.id)]


def gather(people: People, pull: int, text: str, who: str = "ada", **more: str) -> str:
    """Keep a note; its id."""
    fields = LINE | more | {"as": "note", "text": text}
    return people.do(f"{BASE}/{pull}/line", who, **fields).partition("#comment-")[2]


def test_notes_are_sent_with_the_review_and_seen_by_nobody_before(
    place: Place,
    people: People,
    pull: int,
) -> None:
    here = f"{BASE}/{pull}"
    assert "Start a review" in people.read(f"{here}/line?path=train.py&side=new&line=4", "ada")
    said = people.do(f"{here}/line", "grace", **LINE, text="Why two?").partition("#comment-")[2]
    first = gather(people, pull, "Two is a **number**, @grace")
    reply = gather(people, pull, "Because", reply=said)
    files = people.read(f"{here}/files", "ada")
    assert "<strong>number</strong>" in files
    assert files.count("Not sent yet") == 2
    assert "2 comments of your review are not sent yet" in files
    assert "Add to your review" in people.read(f"{here}/line?path=train.py&side=new&line=4", "ada")
    for path in (here, f"{here}/files"):
        assert "number</strong>" not in people.read(path, "grace")
    assert len(comment_ids(place, pull)) == 2
    changed = people.read(f"{here}/line?note={first}", "ada")
    assert "Two is a **number**" in changed
    people.do(f"{here}/line", "ada", **LINE, note=first, text="Two is a *word*", **{"as": "note"})
    assert note_ids(place) == [first, reply]
    with place.rt.database.reading() as db:
        mine = collect_data(db, place.ada.user_id or 0)["review_notes"]
    assert [note["text"] for note in mine] == ["Two is a *word*", "Because"]
    people.do(f"{here}/review", "ada", verdict="request_changes", text="")
    files = people.read(f"{here}/files", "grace")
    assert "<em>word</em>" in files
    assert "Because" in files
    assert "Not sent yet" not in people.read(f"{here}/files", "ada")
    assert note_ids(place) == []
    with place.rt.database.reading() as db:
        texts = [comment.text for comment in db.query(Comment).order_by(Comment.id)]
    assert texts[-2:] == ["Two is a *word*", "Because"]
    again = people.post(f"{here}/review", "ada", verdict="comment", text="")
    assert again.status_code == 400, "they were sent once"


def test_notes_belong_to_their_author_and_can_be_thrown_away(
    place: Place,
    people: People,
    pull: int,
) -> None:
    here = f"{BASE}/{pull}"
    first, second = gather(people, pull, "One"), gather(people, pull, "Two", line="5", start_line="5")
    assert people.get(f"{here}/line?note={first}", "grace").status_code == 404
    refused = people.post(f"{here}/line", "grace", **LINE, note=first, text="Mine", **{"as": "note"})
    assert refused.status_code == 404
    people.do(f"{here}/review/notes/{first}/drop", "grace")
    people.do(f"{here}/review/notes/drop", "grace")
    assert note_ids(place) == [first, second]
    refused = people.post(f"{here}/review", "grace", verdict="approve", text="x")
    assert refused.status_code == 400, "not of one's own pull request"
    people.do(f"{here}/review/notes/{first}/drop", "ada")
    assert note_ids(place) == [second]
    empty = people.post(f"{here}/line", "ada", **LINE, text="  ", **{"as": "note"})
    assert empty.status_code == 400
    bad = people.post(f"{here}/line", "ada", **LINE | {"line": "400"}, text="x", **{"as": "note"})
    assert bad.status_code == 400
    people.do(f"{here}/review/notes/drop", "ada")
    assert note_ids(place) == []
    with place.rt.database.writing() as db:
        thread = place.thread(pull, db)
        for number in range(MAX_NOTES):
            db.add(
                ReviewNote(
                    thread_id=thread.id,
                    author_id=place.ada.user_id or 0,
                    text=f"Note {number}",
                    path="train.py",
                    side="new",
                    line=4,
                    oid="0" * 40,
                )
            )
    full = people.post(f"{here}/line", "ada", **LINE, text="One more", **{"as": "note"})
    assert full.status_code == 400
    assert "One more" in full.text
    assert f"at most {MAX_NOTES} comments" in full.text
    files = people.read(f"{here}/files", "ada")
    assert "Unsent, on lines that have changed since" in files
    people.do(f"{here}/comment", "ada", then="close")
    closed = people.post(f"{here}/line", "ada", **LINE, text="Late", **{"as": "note"})
    assert closed.status_code == 400
    assert "Late" in closed.text
    assert re.search(r"100 comments of your review", people.read(f"{here}/files", "ada"))


def test_a_refused_review_keeps_its_notes(place: Place, people: People, pull: int) -> None:
    gather(people, pull, "Keep me")
    refused = people.post(f"{BASE}/{pull}/review", "ada", verdict="maybe", text="Words")
    assert refused.status_code == 400
    assert "Words" in refused.text
    assert "Keep me" in refused.text
    assert len(note_ids(place)) == 1


def test_a_review_is_one_piece_of_news(place: Place, people: People, pull: int) -> None:
    periodic_tasks()  # importing the tasks registers every handler of the outbox
    for number in range(3):
        gather(people, pull, f"Note {number}")
    people.do(f"{BASE}/{pull}/review", "ada", verdict="comment", text="A few thoughts")
    while deliver_due(place.rt.database):
        pass
    with place.rt.database.reading() as db:
        told = db.query(Notification).filter(Notification.user_id == place.grace.user_id).all()
        assert [news.kind for news in told] == ["review.comment"]
        comment = db.get_one(Comment, told[0].comment_id)
        assert comment.text == "A few thoughts"
