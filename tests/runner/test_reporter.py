"""What a runner tells its hub, while the hub is away, forgets, refuses, or gives the job to others."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kit.runners import wait_until
from llmos.client.runner_api import RunnerApi, Unreachable
from llmos.runner.reporter import Reporter
from llmos.runner.spool import Spool
from llmos.wire.jobs import EventBatch, Heartbeat, StateProposal

LEASE = {"lease_token": "x" * 20, "heartbeat_s": 0.2, "lease_s": 60}


class Hub:
    """The hub's side of the wire by its own shapes; `answers` overrides the next ones."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.states: list[str] = []
        self.cancel = False
        self.answers: list[tuple[int, dict[str, Any]]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                assert self.headers["X-LLMOS-Lease"] == LEASE["lease_token"]
                status, answer = hub.take(self.path.rsplit("/", 1)[1], body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def take(self, call: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.calls.append(call)
        if self.answers:
            return self.answers.pop(0)
        if call == "events":
            EventBatch.model_validate(body)
            self.keep(body)
        elif call == "heartbeat":
            Heartbeat.model_validate(body)
        else:
            state = StateProposal.model_validate(body).state
            if body.get("events") and body["first_seq"] > len(self.events):
                return 409, {"error": "events are missing", "code": "StateRefused", "state": "running"}
            self.keep(body)
            self.states.append(state)
            return 200, {"state": body["state"], "cancel_requested": self.cancel}
        return 200, {"accepted_seq": len(self.events) - 1, "cancel_requested": self.cancel}

    def keep(self, body: dict[str, Any]) -> None:
        skip = len(self.events) - body.get("first_seq", 0)
        if skip >= 0:
            self.events += body.get("events", [])[skip:]


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def reporter(hub: Hub, tmp_path: Path) -> Iterator[Reporter]:
    spool = Spool(tmp_path / "events.jsonl")
    made = Reporter(RunnerApi(hub.url, "token"), spool, "a" * 24, LEASE)
    made.start()
    yield made
    made.abandon()
    spool.close()


def lines(*texts: str) -> list[dict[str, Any]]:
    return [{"kind": "log", "text": text} for text in texts]


def test_events_arrive_in_order_and_before_the_end(hub: Hub, reporter: Reporter) -> None:
    reporter.say_state("running")
    wait_until(lambda: hub.states == ["running"])
    for number in range(50):
        reporter.add(lines(str(number)))
    assert reporter.finish({"state": "succeeded", "exit_code": 0}) == "succeeded"
    assert [event["text"] for event in hub.events] == [str(number) for number in range(50)]
    assert hub.states == ["running", "succeeded"]
    assert hub.calls[-1] == "state"


def test_a_hub_in_trouble_gets_everything_once(hub: Hub, reporter: Reporter) -> None:
    hub.answers = [(503, {"error": "starting"}), (500, {}), (429, {"error": "slowly"})]
    reporter.add(lines("one", "two"))
    assert reporter.finish({"state": "failed", "reason": "x"}) == "failed"
    assert [event["text"] for event in hub.events] == ["one", "two"]


def test_a_hub_that_forgot_events_gets_them_again(hub: Hub, reporter: Reporter) -> None:
    """As after the restore of a backup."""
    reporter.add(lines("one", "two"))
    wait_until(lambda: len(hub.events) == 2)
    hub.events.clear()
    reporter.add(lines("three"))
    assert reporter.finish({"state": "succeeded"}) == "succeeded"
    assert [event["text"] for event in hub.events] == ["one", "two", "three"]


def test_a_short_job_takes_one_call(hub: Hub, reporter: Reporter) -> None:
    reporter.say_state("running")
    reporter.add(lines("one"))
    assert reporter.finish({"state": "succeeded"}) == "succeeded"
    assert [event["text"] for event in hub.events] == ["one"]
    assert hub.calls == ["state"]


def test_many_last_lines_travel_by_themselves(hub: Hub, reporter: Reporter) -> None:
    reporter.add(lines(*(str(number) for number in range(1500))))
    assert reporter.finish({"state": "succeeded"}) == "succeeded"
    assert [event["text"] for event in hub.events] == [str(number) for number in range(1500)]
    assert hub.calls[0] == "events"


def test_signs_of_life_hear_of_a_cancel(hub: Hub, reporter: Reporter) -> None:
    wait_until(lambda: "heartbeat" in hub.calls)
    assert not reporter.cancel.is_set()
    hub.cancel = True
    assert reporter.cancel.wait(10)


def test_a_lost_lease_ends_the_reports(hub: Hub, reporter: Reporter) -> None:
    hub.answers = [(409, {"error": "somebody else has it", "code": "LeaseLost"})]
    reporter.add(lines("one"))
    assert reporter.lost.wait(10)
    assert reporter.lost_reason == "somebody else has it"
    assert reporter.finish({"state": "succeeded"}) == ""
    assert hub.states == []


def test_a_refused_state_is_not_said_again(hub: Hub, reporter: Reporter) -> None:
    refusal = (409, {"error": "no", "code": "StateRefused", "data": {"state": "canceled"}})
    hub.answers = [refusal]
    assert reporter.finish({"state": "succeeded"}) == "canceled"


def test_last_lines_outlive_a_refused_state(hub: Hub, reporter: Reporter) -> None:
    refusal = (409, {"error": "no", "code": "StateRefused", "data": {"state": "canceled"}})
    accepted = (200, {"accepted_seq": 0})
    hub.answers = [refusal, accepted, refusal]
    reporter.add(lines("one"))
    assert reporter.finish({"state": "succeeded"}) == "canceled"
    assert hub.calls == ["state", "events", "state"]


def test_a_batch_the_hub_does_not_take_holds_up_nothing(hub: Hub, reporter: Reporter) -> None:
    hub.answers = [(422, {"error": "bad event"})] * 11
    reporter.add(lines("bad"))
    reporter.add(lines("good"))
    assert reporter.finish({"state": "succeeded"}) == "succeeded"
    assert len(hub.events) == 2
    assert hub.events[1]["text"] == "good"


def test_nobody_listening_is_said_plainly() -> None:
    api = RunnerApi("http://127.0.0.1:9", "token", timeout_s=2)
    with pytest.raises(Unreachable, match="does not answer"):
        api.hello({})
    with pytest.raises(ValueError, match="is not an address"):
        RunnerApi("hub.example.org", "token")
