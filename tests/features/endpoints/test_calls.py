"""A call from its door to an engine and back, with the hub's parts real and the engine played by the test."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from kit.engines import Serving, model_files, wait_until
from llmos.core import clock
from llmos.features.endpoints.controlling import control
from llmos.features.endpoints.models import Endpoint, EndpointUsage
from llmos.features.endpoints.switchboard import board_of
from llmos.features.jobs.models import Runner


def adapter_files(base: str) -> dict[str, bytes]:
    config = {"peft_type": "LORA", "base_model_name_or_path": base, "revision": None, "r": 4}
    return {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": b"x"}


def test_the_first_call_starts_a_model_and_is_answered(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    call = serving.ask(model)
    spec = machine.claim()
    assert spec is not None
    assert spec["kind"] == "engine"
    assert spec["engine"]["task"] == "text-generation"
    assert spec["network"] is False
    assert [(item["repo"], item["path"]) for item in spec["inputs"]] == [("ada/tiny", "/model")]
    assert spec["resources"]["memory_bytes"] > 500 * 1024**2
    machine.state(spec["job_id"], "running")
    with machine.channel(spec["job_id"]) as line:
        line.ready()
        line.answer(line.read(), "good day")
        answer = call.result(10)
        assert answer.json()["choices"][0]["message"]["content"] == "good day"
        second = serving.ask(model)
        line.answer(line.read())
        assert second.result(10).status_code == 200
    assert len(serving.replicas("tiny")) == 1
    job = serving.api("GET", f"/api/jobs/ada/{spec['job_id']}").json()
    assert job["llmos"]["kind"] == "engine"


def test_an_engine_that_dies_ends_the_answer_and_the_next_call_starts_another(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    call = serving.ask(model, stream=True)
    spec = machine.claim()
    assert spec is not None
    machine.state(spec["job_id"], "running")
    with machine.channel(spec["job_id"]) as line:
        line.ready()
        number = line.read()["id"]
        line.say({"id": number, "event": "start", "prompt_tokens": 3})
        line.say({"id": number, "event": "delta", "index": 0, "text": "half", "count": 1})
    told = machine.state(spec["job_id"], "failed", exit_code=137, reason="signal SIGKILL")
    assert told.status_code == 200, told.text
    text = call.result(10).text
    assert "half" in text
    assert "engine_lost" in text
    again = serving.ask(model)
    with machine.engine() as line:
        line.answer(line.read(), "back")
        assert again.result(10).json()["choices"][0]["message"]["content"] == "back"


def test_a_model_that_does_not_load_says_why_and_waits_before_it_is_tried_again(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    call = serving.ask(model)
    spec = machine.claim()
    assert spec is not None
    with machine.channel(spec["job_id"]) as line:
        line.say({"event": "failed", "code": "no_memory", "message": "It needs 9 GiB and may have 2."})
    machine.state(spec["job_id"], "failed", exit_code=2, reason="exit code 2")
    first = call.result(10)
    assert first.status_code == 503
    assert "It needs 9 GiB and may have 2." in first.text
    assert "It needs 9 GiB" in serving.ask(model).result(10).text
    assert machine.claim(wait_s=0) is None


def test_the_line_is_told_places_and_has_an_end(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    first = serving.ask(model)
    with machine.engine(max_streams=1) as line:
        running = line.read()
        engine = next(iter(board_of(serving.rt).engines.values()))
        engine.queue_limit = 2
        waiting = []
        for count in (1, 2):
            waiting.append(serving.ask(model))
            wait_until(lambda count=count: engine.waiting == count)  # type: ignore[misc]
        full = serving.ask(model).result(10)
        assert full.status_code == 429
        assert int(full.headers["retry-after"]) > 0
        line.answer(running)
        assert first.result(10).status_code == 200
        for call in waiting:
            line.answer(line.read())
            assert call.result(10).status_code == 200


def test_no_machine_and_too_small_a_machine_are_said(serving: Serving) -> None:
    model = serving.model("ada/tiny")
    nobody = serving.ask(model).result(10)
    assert nobody.status_code == 503
    assert "llmos runner start" in nobody.text
    serving.machine(memory_bytes=200 * 1024**2)
    small = serving.ask(model).result(10)
    assert small.status_code in (400, 422)
    assert "0.2 GiB" in small.text


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"README.md": b"# nothing"}, "no weights"),
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "pickles"),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"}, "only LoRA is served"),
        (adapter_files("ada/not-here"), "not on this site"),
        (adapter_files("/tmp/base"), "does not name its base"),
        ({key: value for key, value in model_files().items() if key != "tokenizer.json"}, "tokenizer"),
    ],
    ids=["no weights", "pickles", "adapter", "base elsewhere", "base is a folder", "no tokenizer"],
)
def test_what_cannot_be_served_says_why(serving: Serving, files: dict[str, bytes], reason: str) -> None:
    serving.machine()
    answer = serving.ask(serving.model("ada/strange", files)).result(10)
    assert answer.status_code in (400, 422)
    assert reason in answer.text


def test_an_adapter_is_served_on_its_base_to_those_who_may_read_both(serving: Serving) -> None:
    machine = serving.machine()
    base = serving.model("ada/adapter-base")
    head = serving.api("GET", f"/api/models/{base}").json()["sha"]
    adapter = serving.model("ada/adapter", adapter_files(base))
    answer = serving.ask(adapter)
    spec = machine.claim()
    assert spec is not None
    assert spec["engine"]["base"] == f"{base}@{head}"
    assert [(item["repo"], item["path"]) for item in spec["inputs"]] == [(adapter, "/model"), (base, "/base")]
    assert spec["inputs"][1]["revision"] == head
    machine.state(spec["job_id"], "running")
    with machine.channel(spec["job_id"]) as line:
        line.ready()
        line.answer(line.read())
        assert answer.result(10).status_code == 200
        serving.api("PUT", f"/api/models/{base}/settings", json={"private": True}).raise_for_status()
        refused = serving.ask(adapter, person="grace").result(10)
        assert refused.status_code in (400, 422)
        assert "not for you to read" in refused.text


def test_private_models_are_not_found_and_visitors_start_nothing(serving: Serving) -> None:
    serving.machine()
    private, public = serving.model("ada/secret", private=True), serving.model("ada/open")
    unknown = serving.ask("ada/none", "grace").result(10)
    hidden = serving.ask(private, "grace").result(10)
    assert (hidden.status_code, hidden.json()["error"]["code"]) == (404, "model_not_found")
    assert hidden.json()["error"]["message"].replace("secret", "none") == unknown.json()["error"]["message"]
    assert serving.ask(public, "").result(10).status_code == 401


def test_whoever_goes_away_stops_the_engine(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    first = serving.ask(model)
    with machine.engine() as line:
        line.answer(line.read())
        first.result(10)
        board = board_of(serving.rt)
        engine = next(iter(board.engines.values()))

        async def leave() -> None:
            from llmos.features.endpoints.calls import ask

            stream = await ask(serving.rt, serving.actor("ada"), model, {"call": "generate", "prompt": "x"})
            await stream.aclose()

        assert serving.http.portal is not None
        serving.http.portal.call(leave)
        sent = line.read()
        assert sent["prompt"] == "x"
        assert line.read() == {"id": sent["id"], "call": "cancel"}
        assert engine.is_idle


def test_what_is_used_is_counted(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    call = serving.ask(model)
    with machine.engine() as line:
        line.answer(line.read())
        call.result(10)
        assert serving.http.portal is not None
        serving.http.portal.call(board_of(serving.rt).meter.flush)
    with serving.rt.database.reading() as db:
        row = db.query(EndpointUsage).one()
        assert (row.calls, row.errors, row.prompt_tokens, row.completion_tokens) == (1, 0, 3, 1)
        assert sum(row.latency) == 1
        assert db.query(Endpoint).one().last_called_at is not None


@pytest.mark.parametrize("path", ["/", "/ws", "/api/runners/jobs/0123456789abcdef01234567/channel"])
def test_other_sockets_are_refused(app_client: TestClient, path: str) -> None:
    with pytest.raises(WebSocketDisconnect), app_client.websocket_connect(path):
        pass


def test_a_channel_needs_the_lease(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    serving.ask(model)
    spec = machine.claim()
    assert spec is not None
    other = serving.machine()
    path = f"/api/runners/jobs/{spec['job_id']}/channel"
    wrong = (
        machine.headers(spec["job_id"]) | {"X-LLMOS-Lease": "0" * 40},
        machine.headers(spec["job_id"]) | {"Authorization": f"Bearer {other.token}"},
        {"Authorization": f"Bearer {serving.tokens['ada']}"},
    )
    for headers in wrong:
        with pytest.raises(WebSocketDisconnect), serving.http.websocket_connect(path, headers=headers):
            pass
    with machine.channel(spec["job_id"]) as line:
        line.ready()
        line.answer(line.read())


def test_memory_goes_to_what_is_called_now(serving: Serving) -> None:
    """With room for one model, the one that was called longest ago ends for the other."""
    first, second = serving.model("ada/one"), serving.model("ada/two")
    machine = serving.machine(memory_bytes=int(1.2 * 1024**3))
    call = serving.ask(first)
    with machine.engine() as line:
        line.answer(line.read())
        call.result(10)
        other = serving.ask(second)
        with pytest.raises(WebSocketDisconnect):
            line.read()
    with machine.engine() as line:
        line.answer(line.read())
        assert other.result(10).status_code == 200
    control(serving.rt)
    assert serving.replicas("")[0].state == "ended"


def test_a_machine_whose_slots_are_all_taken_is_still_there(serving: Serving) -> None:
    """It asks for nothing while it is full: that its engines are alive is what is heard of it."""
    first, second = serving.model("ada/one"), serving.model("ada/two")
    machine = serving.machine(slots=1)
    call = serving.ask(first)
    spec = machine.claim()
    assert spec is not None
    machine.state(spec["job_id"], "running")
    with machine.channel(spec["job_id"]) as line:
        line.ready()
        line.answer(line.read())
        call.result(10)
        long_ago = clock.now() - timedelta(minutes=5)
        serving.change(lambda db: [setattr(one, "last_seen_at", long_ago) for one in db.query(Runner)])
        machine.beat(spec["job_id"])
        other = serving.ask(second)
        wait_until(lambda: serving.replicas("")[0].state in ("draining", "ended"))
        with pytest.raises(WebSocketDisconnect):
            line.read()
    with machine.engine() as line:
        line.answer(line.read())
        assert other.result(10).status_code == 200
