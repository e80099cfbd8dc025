"""The pages of moderation: who sees them, what they do, how many queries they take."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from features.moderation.conftest import Forum
from kit.people import add_token
from kit.statements import counted
from llmos.app.tasks import periodic_tasks
from llmos.core import clock
from llmos.features.accounts.actor import OPERATOR
from llmos.features.accounts.models import User
from llmos.features.accounts.policy import access_user
from llmos.features.discussions.comments import add_comment
from llmos.features.discussions.models import Thread
from llmos.features.discussions.threads import open_thread
from llmos.features.moderation.events import remind_of_cases
from llmos.features.moderation.flags import file_flag
from llmos.features.moderation.measures import undo
from llmos.features.moderation.models import Appeal, Case, Measure, RepoBlock, Sanction, Standing
from llmos.features.moderation.sanctions import impose
from llmos.features.notifications.models import Notification
from llmos.features.repos.lifecycle import create_repo
from llmos.infra.queue.outbox import deliver_due


@dataclass
class Bench:
    """The forum through its pages, as people with tokens; `who` None is a visitor."""

    forum: Forum
    client: TestClient
    tokens: dict[str, str] = field(default_factory=dict)

    def _headers(self, who: str | None, locale: str = "en") -> dict[str, str]:
        headers = {"accept": "text/html", "accept-language": locale, "origin": "http://testserver"}
        if who is None:
            return headers
        if who not in self.tokens:
            with self.forum.rt.database.writing() as db:
                self.tokens[who] = add_token(db, access_user(db, OPERATOR, who))
        return headers | {"authorization": f"Bearer {self.tokens[who]}"}

    def get(self, path: str, who: str | None = None, **extra: str) -> httpx.Response:
        return self.client.get(path, headers=self._headers(who) | extra)

    def post(self, path: str, who: str | None = None, **fields: Any) -> httpx.Response:
        return self.client.post(path, data=fields, headers=self._headers(who))

    def flag(self, by: str, key: str | int, reason: str = "abuse", note: str = "") -> int:
        with self.forum.rt.database.writing() as db:
            subject = self.forum.subject(db, key)
            return file_flag(db, self.forum.actor(db, by), subject, reason, note).id

    def repo(self, owner: str = "trusty", **options: Any) -> int:
        with self.forum.rt.database.writing() as db:
            actor = self.forum.actor(db, owner)
            return create_repo(db, actor, self.forum.rt, name="tiny-llm", **options).id

    def discussion(self, repo_id: int, by: str, reply_by: str, text: str = "Rude words") -> str:
        """A discussion with a reply; the reply's public id."""
        from llmos.features.repos.models import Repo

        with self.forum.rt.database.writing() as db:
            repo = db.get_one(Repo, repo_id)
            thread = open_thread(db, self.forum.actor(db, by), repo, "Loss is NaN", "Why?")
            return add_comment(db, self.forum.actor(db, reply_by), thread, text).public_id

    def one(self, table: type[Any], **values: Any) -> Any:
        with self.forum.rt.database.reading() as db:
            return db.scalars(select(table).filter_by(**values)).unique().one()

    def told(self, who: str) -> list[str]:
        """The kinds of somebody's news about moderation, oldest first."""
        while deliver_due(self.forum.rt.database):
            pass
        with self.forum.rt.database.reading() as db:
            mine = Notification.user_id == self.forum.actor(db, who).user_id
            rows = select(Notification.kind).where(mine, Notification.kind.startswith("moderation"))
            return list(db.scalars(rows.order_by(Notification.id)))

    def counted(self) -> AbstractContextManager[list[str]]:
        return counted()


@pytest.fixture
def bench(forum: Forum, app_client: TestClient) -> Bench:
    periodic_tasks()  # importing the tasks registers the handlers of the outbox
    return Bench(forum, app_client)


def test_a_report_its_judgement_and_the_news_of_it(bench: Bench) -> None:
    post = bench.forum.reply(bench.forum.topic("trusty"), "newbie", "You are all fools")
    form = bench.get(f"/-/report?kind=comment&key={post}", "member1")
    assert "nobody else learns" not in form.text
    assert "Reports are private" in form.text
    done = bench.post(
        "/-/report", "member1", kind="comment", key=post, reason="abuse", note="Insults", next="/forum"
    )
    assert (done.status_code, done.headers["location"]) == (303, "/forum")
    case = bench.one(Case)
    assert bench.told("mira") == ["moderation.case"]
    queue = bench.get("/moderation", "mira")
    assert "Insults, harassment or hate" in queue.text
    page = bench.get(f"/moderation/cases/{case.id}", "mira")
    assert "You are all fools" in page.text
    assert "@member1" in page.text
    judged = bench.post(
        f"/moderation/cases/{case.id}", "mira", action="judge", decision="hide", reason="No insults here",
        sanction="suspend", days="3", lock="on",
    )  # fmt: skip
    assert judged.status_code == 303
    with bench.forum.rt.database.reading() as db:
        subject = bench.forum.subject(db, post)
        assert subject.is_hidden
        assert subject.thread is not None
        assert subject.thread.is_locked
        assert access_user(db, OPERATOR, "newbie").is_sanctioned("suspend")
    assert bench.told("member1") == ["moderation.upheld"]
    assert set(bench.told("newbie")) == {"moderation.hide", "moderation.lock", "moderation.suspend"}


def test_the_second_judge_is_told_and_keeps_the_text(bench: Bench) -> None:
    case_id = bench.flag("member1", bench.forum.topic("newbie"))
    url = f"/moderation/cases/{case_id}"
    assert bench.post(url, "mira", action="judge", decision="reject", reason="").status_code == 303
    late = bench.post(url, "nora", action="judge", decision="hide", reason="My long reasons")
    assert late.status_code == 409
    assert "judged this case meanwhile" in late.text
    assert bench.post(url, "nora", action="reopen").status_code == 303
    unreasoned = bench.post(url, "nora", action="judge", decision="hide", reason="", sanction="warn")
    assert unreasoned.status_code == 400
    assert bench.post(url, "nora", action="judge", decision="burn", reason="My words").text.count("My words")


@pytest.mark.parametrize("who", [None, "newbie", "member1", "trusty"])
def test_cases_are_for_those_who_judge(bench: Bench, who: str | None) -> None:
    case_id = bench.flag("member1", bench.forum.topic("newbie"))
    paths = ("/moderation", f"/moderation/cases/{case_id}", "/moderation/log", "/moderation/appeals")
    codes = [bench.get(path, who).status_code for path in paths]
    assert codes == ([303] * 4 if who is None else [403, 404, 403, 403])
    act = bench.get("/moderation/act?kind=user&key=member2", who)
    assert act.status_code == (303 if who is None else 404)
    sanction = bench.post(
        "/moderation/act", who, kind="user", key="member2", action="sanction", sanction="ban", reason="x"
    )
    judge = bench.post(f"/moderation/cases/{case_id}", who, action="judge", decision="hide", reason="x")
    assert (sanction.status_code, judge.status_code) == ((403, 403) if who is None else (404, 404))
    assert bench.one(Case).state == "open"
    assert bench.get("/-/admin/moderators", who).status_code == (303 if who is None else 403)


def test_maintainers_judge_what_is_in_their_repository(bench: Bench) -> None:
    repo_id = bench.repo()
    reply = bench.discussion(repo_id, "member2", "newbie")
    bench.flag("member1", reply, note="Please look")
    other = bench.flag("member1", bench.forum.topic("newbie"))
    case = bench.one(Case, repo_id=repo_id)
    queue = bench.get("/moderation?repo=trusty/tiny-llm", "trusty")
    assert queue.text.count("case-row") == 1
    page = bench.get(f"/moderation/cases/{case.id}", "trusty").text
    assert "Please look" in page
    # Not even maintainers learn who reported.
    assert "@member1" not in page
    assert bench.get(f"/moderation/cases/{other}", "trusty").status_code == 404
    assert bench.get("/moderation?repo=trusty/tiny-llm", "member2").status_code == 403
    url = f"/moderation/cases/{case.id}"
    refused = bench.post(
        url, "trusty", action="judge", decision="hide", reason="Rude", sanction="ban", days=""
    )
    assert refused.status_code == 403
    assert bench.post(url, "trusty", action="judge", decision="hide", reason="Rude").status_code == 303
    log = bench.get("/moderation/log?repo=trusty/tiny-llm", "trusty")
    assert "Rude" in log.text
    measure = bench.one(Measure, verb="hide")
    assert bench.post("/moderation/log", "member2", id=str(measure.id)).status_code in (303, 404)
    assert bench.one(Measure, verb="hide").undone_at is None
    bench.post("/moderation/log", "trusty", id=str(measure.id))
    assert bench.one(Measure, verb="hide").undone_at is not None


def test_what_is_private_stays_so(bench: Bench) -> None:
    repo_id = bench.repo(visibility="private")
    reply = bench.discussion(repo_id, "trusty", "trusty")
    for path in (
        f"/-/report?kind=comment&key={reply}",
        f"/-/report?kind=repo&key={repo_id}",
        "/-/report?kind=repo&key=trusty/tiny-llm",
        f"/moderation/act?kind=comment&key={reply}",
        "/moderation?repo=trusty/tiny-llm",
        "/trusty/tiny-llm/settings/blocked",
    ):
        for who in ("member1", "mira"):
            assert bench.get(path, who).status_code == 404, path
    assert bench.get("/trusty/tiny-llm/settings/blocked", "trusty").status_code == 200


def test_an_appeal_from_the_forbidden_page_to_its_answer(bench: Bench) -> None:
    topic = bench.forum.topic("trusty")
    with bench.forum.rt.database.writing() as db:
        newbie = access_user(db, OPERATOR, "newbie")
        measure_id = impose(db, bench.forum.actor(db, "mira"), newbie, "suspend", "Insults", days=3).id
    refused = bench.post("/-/report", "newbie", kind="thread", key=topic, reason="spam")
    assert refused.status_code == 403
    assert 'href="/moderation/standing"' in refused.text
    page = bench.get("/moderation/standing", "newbie")
    assert "Insults" in page.text
    # Who took the measure is not told.
    assert "mira" not in page.text
    assert (
        bench.post(
            "/moderation/standing", "member1", action="appeal", measure=measure_id, text="x"
        ).status_code
        == 404
    )
    empty = bench.post("/moderation/standing", "newbie", action="appeal", measure=measure_id, text=" ")
    assert empty.status_code == 400
    sent = bench.post(
        "/moderation/standing", "newbie", action="appeal", measure=measure_id, text="A quotation"
    )
    assert sent.status_code == 303
    assert bench.told("nora") == ["moderation.appeal"]
    assert bench.told("mira") == []
    appeal = bench.one(Appeal)
    assert "A quotation" in bench.get("/moderation/appeals", "nora").text
    own = bench.post(f"/moderation/appeals/{appeal.id}", "mira", outcome="rejected", answer="My own words")
    assert (own.status_code, "My own words" in own.text) == (403, True)
    done = bench.post(f"/moderation/appeals/{appeal.id}", "nora", outcome="upheld", answer="You are right")
    assert done.status_code == 303
    assert bench.told("newbie")[-1] == "moderation.appeal-upheld"
    assert "You are right" in bench.get("/moderation/standing", "newbie").text
    assert (
        bench.post(f"/moderation/appeals/{appeal.id}", "nora", outcome="upheld", answer="x").status_code
        == 409
    )


def test_tools_act_without_a_report_and_are_undone(bench: Bench) -> None:
    topic, other = bench.forum.topic("newbie", "One"), bench.forum.topic("member1", "Two")
    stays, goes = bench.forum.reply(topic, "member1", "Stays"), bench.forum.reply(topic, "member2", "Goes")
    assert stays
    page = bench.get(f"/moderation/act?kind=comment&key={goes}", "mira")
    assert "Goes" in page.text
    with bench.forum.rt.database.reading() as db:
        goes_id = bench.forum.subject(db, goes).id

    def act(action: str, **fields: Any) -> None:
        done = bench.post("/moderation/act", "mira", kind="thread", key=topic, action=action, **fields)
        assert done.status_code == 303
        assert bench.one(Measure, verb=action), action

    act("lock", reason="Heated")
    act("move", category="off-topic")
    act("split", comments=[goes_id], title="Another matter")
    act("merge", target=f"#{other}")
    assert bench.forum.texts(other) == ["How do I load it?", "How do I load it?", "Stays"]
    merged = bench.one(Measure, verb="merge")
    bench.post("/moderation/log", "mira", id=str(merged.id))
    assert bench.forum.texts(topic) == ["How do I load it?", "Stays"]
    bench.post(
        "/moderation/act",
        "mira",
        kind="user",
        key="newbie",
        action="sanction",
        sanction="warn",
        reason="Calm",
    )
    assert "Calm" in bench.get("/moderation/standing", "newbie").text
    refused = bench.post("/moderation/act", "mira", kind="thread", key=topic, action="merge", target="999")
    assert refused.status_code == 303
    assert bench.get("/moderation/log?verb=warn&person=newbie", "mira").text.count('class="measure"') == 1


def test_a_case_that_waits_is_told_again_once(bench: Bench) -> None:
    bench.flag("member1", bench.forum.topic("newbie"))
    remind_of_cases(bench.forum.rt)
    with bench.forum.rt.database.writing() as db:
        db.execute(update(Case).values(opened_at=clock.now() - timedelta(hours=49)))
    remind_of_cases(bench.forum.rt)
    remind_of_cases(bench.forum.rt)
    assert sorted(bench.told("mira")) == ["moderation.case", "moderation.waiting"]


def test_refused_reports_keep_what_was_typed(bench: Bench) -> None:
    topic = bench.forum.topic("newbie")
    refused = bench.post("/-/report", "member1", kind="thread", key=topic, reason="", note="My words")
    assert (refused.status_code, "My words" in refused.text) == (400, True)
    assert bench.post("/-/report", "newbie", kind="thread", key=topic, reason="spam").status_code == 409
    assert bench.get("/-/report?kind=thread&key=99999", "member1").status_code == 404
    assert bench.get("/-/report?kind=planet&key=1", "member1").status_code == 400
    assert bench.get(f"/-/report?kind=thread&key={topic}").status_code == 303
    part = bench.get(f"/-/report?kind=thread&key={topic}", "member1", **{"HX-Request": "true"})
    assert part.text.lstrip().startswith("<dialog")


def test_the_block_list_of_a_repository(bench: Bench) -> None:
    repo_id = bench.repo()
    url = "/trusty/tiny-llm/settings/blocked"
    assert bench.get(url, "member1").status_code == 403
    assert bench.post(url, "member1", action="block", name="newbie").status_code == 403
    assert bench.post(url, "trusty", action="block", name="nobody-here").status_code == 404
    assert bench.post(url, "trusty", action="block", name="trusty").status_code == 409
    assert (
        bench.post(url, "trusty", action="block", name="newbie", days="7", reason="Spam").status_code == 303
    )
    assert bench.one(RepoBlock, repo_id=repo_id).reason == "Spam"
    assert "Spam" in bench.get(url, "trusty").text
    assert bench.post(url, "trusty", action="unblock", name="newbie").status_code == 303
    assert "Nobody is blocked" in bench.get(url, "trusty").text


def test_administrators_name_moderators(bench: Bench) -> None:
    page = bench.get("/-/admin/moderators", "root-admin")
    assert "mira" in page.text
    bench.post("/-/admin/moderators", "root-admin", name="member1", level="", moderates="on")
    assert bench.get("/moderation", "member1").status_code == 200
    bench.post("/-/admin/moderators", "root-admin", name="member1", level="3")
    row = bench.one(Standing, user_id=bench.one(User, email="member1@example.org").id)
    assert (row.level, row.is_fixed, row.is_moderator) == (3, True, False)
    assert bench.post("/-/admin/moderators", "root-admin", name="member1", level="9").status_code == 400
    audit = bench.get("/-/admin/audit?action=standing.&who=root-admin", "root-admin").text
    assert "standing.change" in audit
    assert "Nothing of that kind" in bench.get("/-/admin/audit?action=zebra", "root-admin").text


def test_the_operators_own_code_of_conduct(bench: Bench) -> None:
    assert "models" in bench.get("/code-of-conduct").text
    (bench.forum.rt.settings.home / "code-of-conduct.zh.md").write_text("# 本站守则\n", "utf-8")
    assert "本站守则" in bench.get("/code-of-conduct").text


def test_a_warning_stays_on_every_page_until_it_is_read(bench: Bench) -> None:
    words = "A moderator has warned you"
    assert words not in bench.get("/", "newbie").text
    with bench.forum.rt.database.writing() as db:
        mira, newbie = bench.forum.actor(db, "mira"), access_user(db, OPERATOR, "newbie")
        measure = impose(db, mira, newbie, "warn", "No insults")
        impose(db, mira, newbie, "suspend", "Insults again", days=1)
    assert "Your account is suspended" in bench.get("/", "newbie").text, "the stricter one is said first"
    with bench.forum.rt.database.writing() as db:
        mira = bench.forum.actor(db, "mira")
        undo(db, mira, db.scalars(select(Measure).where(Measure.verb == "suspend")).one())
    page = bench.get("/forum", "newbie").text
    assert words in page
    assert "account is suspended" not in page
    assert bench.post("/forum/new", "newbie", category="help", title="Why?", text="Why?").status_code == 303
    warning = bench.one(Sanction, measure_id=measure.id)
    bench.post("/moderation/standing", "member1", action="seen", sanction=warning.id)
    assert words in bench.get("/forum", "newbie").text, "somebody else cannot read it for them"
    bench.post("/moderation/standing", "newbie", action="seen", sanction=warning.id)
    assert words not in bench.get("/forum", "newbie").text


def test_pages_ask_the_database_little(bench: Bench) -> None:
    topic = bench.forum.topic("newbie")
    repo_id = bench.repo()
    for number in range(6):
        bench.forum.reply(topic, f"member{number % 4 + 1}", f"Reply {number} to @newbie")
    posts = [bench.forum.reply(topic, "newbie", f"Rude {number}") for number in range(4)]
    cases = [bench.flag("member1", post) for post in posts]
    cases.append(bench.flag("member1", bench.discussion(repo_id, "member2", "newbie")))
    bench.post(f"/moderation/cases/{cases[0]}", "mira", action="judge", decision="hide", reason="Rude")
    with bench.forum.rt.database.writing() as db:
        impose(db, bench.forum.actor(db, "mira"), access_user(db, OPERATOR, "newbie"), "warn", "Rude")
        assert db.get(Thread, topic) is not None
    measure_id = bench.one(Measure, verb="hide").id
    bench.post("/moderation/standing", "newbie", action="appeal", measure=measure_id, text="Why?")
    for path, who in (
        ("/moderation", "mira"),
        (f"/moderation/cases/{cases[1]}", "mira"),
        (f"/moderation/cases/{cases[-1]}", "mira"),
        (f"/moderation/act?kind=comment&key={posts[2]}", "mira"),
        ("/moderation/log", "mira"),
        ("/moderation/appeals", "nora"),
        ("/moderation/standing", "newbie"),
        ("/moderation?repo=trusty/tiny-llm", "trusty"),
        (f"/moderation/cases/{cases[-1]}", "trusty"),
        ("/trusty/tiny-llm/settings/blocked", "trusty"),
        (f"/-/report?kind=comment&key={posts[1]}", "member2"),
        ("/-/admin/moderators", "root-admin"),
    ):
        bench.get(path, who)
        with bench.counted() as seen:
            assert bench.get(path, who).status_code == 200, path
        assert len(seen) <= 12, (path, len(seen), "\n".join(seen))
