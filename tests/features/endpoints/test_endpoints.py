"""Endpoints that somebody made: pages, API, who may call, what takes over, what sleeps."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from kit.engines import Serving, model_files
from llmos.app.asgi import create_app
from llmos.core import clock
from llmos.features.endpoints.controlling import control, next_work_at
from llmos.features.endpoints.models import Endpoint
from llmos.features.endpoints.switchboard import board_of
from llmos.features.endpoints.tending import look
from llmos.infra.runtime import open_runtime


def deploy(serving: Serving, model: str, name: str = "tiny", person: str = "ada", **body: Any) -> Any:
    return serving.api("POST", "/api/endpoints", person, json={"model": model, "name": name} | body)


def change(serving: Serving, name: str, **values: Any) -> None:
    def act(db: Any) -> None:
        endpoint = db.query(Endpoint).filter(Endpoint.name == name).one()
        for key, value in values.items():
            setattr(endpoint, key, value)

    serving.change(act)


def test_deployed_called_paused_and_deleted(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    made = deploy(serving, model)
    assert made.status_code == 201, made.text
    assert made.json()["state"] == "starting"
    with machine.engine() as line:
        call = serving.ask("tiny", "grace")
        line.answer(line.read())
        assert call.result(10).status_code == 200
        shown = serving.api("GET", "/api/endpoints/tiny", "grace").json()
        assert (shown["state"], shown["replicas"][0]["connected"]) == ("ready", True)
        assert serving.api("POST", "/api/endpoints/tiny/pause", "grace").status_code == 403
        assert serving.api("POST", "/api/endpoints/tiny/pause").json()["state"] == "paused"
        refused = serving.ask("tiny", "grace").result(10)  # the engine has not heard of it yet
        assert refused.json()["error"]["code"] == "endpoint_paused"
        with pytest.raises(WebSocketDisconnect):
            line.read()
    assert serving.ask("tiny").result(10).json()["error"]["code"] == "endpoint_paused"
    assert serving.api("DELETE", "/api/endpoints/tiny").status_code == 200
    assert serving.ask("tiny").result(10).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a/b"}, "name"),
        ({"access": "friends"}, "access"),
        ({"min_replicas": -1}, "min_replicas"),
        ({"min_replicas": 3, "max_replicas": 2}, "max_replicas"),
        ({"allowed": 7}, "allowed"),
        ({"rate_per_minute": True}, "rate_per_minute"),
        ({"task": "poetry"}, "task"),
        ({"model": 7}, "model"),
    ],
)
def test_a_wrong_field_is_named(serving: Serving, body: dict[str, Any], field: str) -> None:
    model = serving.model("ada/tiny")
    answer = serving.api("POST", "/api/endpoints", json={"model": model} | body)
    assert answer.status_code == 400, answer.text
    assert field in answer.text


def test_who_may_deploy_and_call(serving: Serving) -> None:
    model = serving.model("ada/tiny")
    serving.machine()
    assert deploy(serving, model, person="grace").status_code == 403
    assert deploy(serving, model, name="closed", access="members").status_code == 201
    assert deploy(serving, model, name="closed").status_code == 409
    assert serving.ask("closed", "grace").result(10).status_code == 404
    assert serving.api("GET", "/api/endpoints/closed", "grace").status_code == 404
    named = serving.api("PATCH", "/api/endpoints/closed", json={"access": "named", "allowed": ["Grace"]})
    assert named.status_code == 200, named.text
    assert serving.api("GET", "/api/endpoints/closed", "grace").status_code == 200
    assert "allowed" not in serving.api("GET", "/api/endpoints/closed", "grace").json()


def test_gpus_that_no_machine_has_are_refused_with_both_numbers(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine(gpus=2)
    answer = deploy(serving, model, gpus=3)
    assert answer.status_code == 503
    assert "asks for 3 GPUs" in answer.text
    assert "have 2 at most" in answer.text
    made = deploy(serving, model, gpus=2)
    assert (made.status_code, made.json()["gpus"]) == (201, 2)
    spec = machine.claim()
    assert spec is not None
    assert spec["resources"]["gpus"] == 2


def test_a_gguf_file_is_unpacked_where_no_machine_has_llama_cpp(serving: Serving) -> None:
    model, machine = serving.model("ada/packed", {"model-q4_0.gguf": b"GGUF"}), serving.machine()
    deploy(serving, model)
    spec = machine.claim()
    assert spec is not None
    assert (spec["engine"]["engine"], spec["engine"]["file"]) == ("transformers", "model-q4_0.gguf")


def test_limits_of_callers_and_of_the_day(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    deploy(serving, model, rate_per_minute=1, tokens_per_day=1000)
    with machine.engine() as line:
        call = serving.ask("tiny")
        line.answer(line.read())
        assert call.result(10).status_code == 200
        second = serving.ask("tiny").result(10)
        assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limited")
        change(serving, "tiny", rate_per_minute=0, tokens_per_day=2)
        serving.api("PATCH", "/api/endpoints/tiny", json={})
        third = serving.ask("tiny").result(10)
        assert "tokens" in third.json()["error"]["message"]


def test_a_push_takes_over_once_it_is_ready(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    deploy(serving, model)
    with machine.engine() as old:
        scored = serving.push(model, {".eval_results/score.yaml": b"[]\n", "README.md": b"# Scored\n"})
        control(serving.rt)
        assert machine.claim(wait_s=0) is None, (
            "no engine reads a score: the one that runs serves this commit, too"
        )
        assert serving.api("GET", "/api/endpoints/tiny").json()["commit"] == scored
        pushed = serving.push(model, model_files(note="newer"))
        control(serving.rt)
        call = serving.ask("tiny")
        old.answer(old.read(), "from the old one")
        assert "old" in call.result(10).text
        spec = machine.claim()
        assert spec is not None
        assert spec["inputs"][0]["revision"] == pushed
        machine.state(spec["job_id"], "running")
        with machine.channel(spec["job_id"]) as new:
            new.ready()
            while serving.api("GET", "/api/endpoints/tiny").json()["replicas"][-1]["state"] != "ready":
                pass
            control(serving.rt)
            with pytest.raises(WebSocketDisconnect):
                old.read()
            call = serving.ask("tiny")
            new.answer(new.read(), "from the new one")
            assert "new" in call.result(10).text


def test_what_nobody_calls_sleeps_and_what_is_to_stay_stays(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    deploy(serving, model, min_replicas=1)
    with machine.engine() as line:
        call = serving.ask("tiny")
        line.answer(line.read())
        call.result(10)
        long_ago = clock.now() - timedelta(hours=2)
        change(serving, "tiny", last_called_at=long_ago)
        serving.change(lambda db: [setattr(one, "ready_at", long_ago) for one in db.query(_replica())])
        control(serving.rt)
        assert serving.replicas("tiny")[-1].state == "ready"
        change(serving, "tiny", min_replicas=0)
        control(serving.rt)
        assert serving.replicas("tiny")[-1].state == "draining"
        assert serving.http.portal is not None
        serving.http.portal.call(look, board_of(serving.rt))
        assert serving.replicas("tiny")[-1].state == "ended"
    with serving.rt.database.reading() as db:
        assert next_work_at(db) is None


def _replica() -> Any:
    from llmos.features.endpoints.models import Replica

    return Replica


def test_what_is_to_stay_is_started_by_the_worker(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    deploy(serving, model, min_replicas=1)
    spec = machine.claim()
    assert spec is not None
    machine.state(spec["job_id"], "released", reason="the runner was restarted")
    control(serving.rt)
    again = machine.claim()
    assert again is not None
    assert again["job_id"] != spec["job_id"]


def test_a_restart_of_the_machine_is_no_fault_of_the_model(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    deploy(serving, model)
    call = serving.ask("tiny")
    spec = machine.claim()
    assert spec is not None
    machine.state(spec["job_id"], "released", reason="the runner was restarted")
    with machine.engine() as line:
        line.answer(line.read(), "after all")
        assert "after all" in call.result(10).text


def test_a_machine_that_goes_down_with_the_model_ends_the_wait(serving: Serving) -> None:
    model, machine = serving.model("ada/tiny"), serving.machine()
    deploy(serving, model)
    call = serving.ask("tiny")
    for _ in range(2):
        spec = machine.claim()
        assert spec is not None
        machine.state(spec["job_id"], "released", reason="the runner was restarted")
    answer = call.result(10)
    assert answer.status_code == 503
    assert "the runner was restarted" in answer.text


def test_another_web_process_hands_calls_over(serving: Serving) -> None:
    """The engine is connected to the first process, the caller to the second."""
    several = serving.rt.settings.model_copy(update={"web_workers": 2})
    first, second = open_runtime(several), open_runtime(several)
    model = serving.model("ada/tiny")
    with TestClient(create_app(runtime=first)) as one, TestClient(create_app(runtime=second)) as two:
        here = Serving(first, one, serving.tokens, serving.pool)
        machine = here.machine()
        deploy(here, model)
        with machine.engine() as line:
            there = Serving(second, two, serving.tokens, serving.pool)
            call = there.ask("tiny")
            line.answer(line.read(), "over the socket")
            assert "over the socket" in call.result(10).text
            streamed = there.ask("tiny", stream=True)
            line.answer(line.read(), "in pieces")
            assert "in pieces" in streamed.result(10).text
    first.close()
    second.close()


class _Upstream(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, str, dict[str, Any]]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers.get("Authorization", ""), body))
        if body["model"] == "refused":
            self.send_response(400)
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "too long"}}')
            return
        self.send_response(200)
        self.end_headers()
        if self.path.endswith("/embeddings"):
            self.wfile.write(b'{"data": [{"embedding": [0.6, 0.8]}], "usage": {"prompt_tokens": 2}}')
            return
        for text in ("a", "b"):
            chunk = {"choices": [{"index": 0, "delta": {"content": text}, "text": text}]}
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
        for chunk in (end, usage):
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Upstream)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_calls_are_passed_on_to_another_server(serving: Serving) -> None:
    with upstream() as url:
        body = {"name": "big", "upstream_url": url, "upstream_model": "org/large", "upstream_key": "sesame"}
        assert serving.api("POST", "/api/endpoints", "ada", json=body).status_code == 403
        made = serving.api("POST", "/api/endpoints", "root-admin", json=body)
        assert made.status_code == 201, made.text
        assert "sesame" not in made.text
        answer = serving.ask("big").result(10)
        assert answer.json()["choices"][0]["message"]["content"] == "ab"
        assert answer.json()["usage"]["total_tokens"] == 7
        path, key, sent = _Upstream.seen[-1]
        assert (path, key, sent["model"]) == ("/v1/chat/completions", "Bearer sesame", "org/large")
        vector = serving.api("POST", "/v1/embeddings", json={"model": "big", "input": "x"}).json()
        assert vector["data"][0]["embedding"] == pytest.approx([0.6, 0.8])
        serving.api(
            "POST", "/api/endpoints", "root-admin", json=body | {"name": "no", "upstream_model": "refused"}
        )
        refused = serving.ask("no").result(10)
        assert refused.status_code == 400
        assert "too long" in refused.text
    assert serving.ask("big").result(10).status_code == 502


def test_pages(serving: Serving) -> None:
    """Made, seen and changed without a script."""
    model = serving.model("ada/tiny")
    serving.machine()
    listed = serving.api("GET", f"/{model}", "")
    assert (
        f"/endpoints/-/new?model={model.replace('/', '%2F')}" in listed.text
        or "/endpoints/-/new?model=" in listed.text
    )
    assert deploy(serving, model).status_code == 201
    for person in ("", "grace", "ada"):
        page = serving.api("GET", "/endpoints/tiny", person)
        assert page.status_code == 200
        assert ("Delete the endpoint" in page.text) == (person == "ada")
        assert "/endpoints/tiny" in serving.api("GET", "/endpoints", person).text
    assert serving.api("GET", "/endpoints/none", "ada").status_code == 404
