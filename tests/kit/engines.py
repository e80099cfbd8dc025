"""A hub that serves models, and machines that speak to it as real runners do: by HTTP and a WebSocket."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors.numpy import save
from starlette.testclient import TestClient, WebSocketTestSession

from llmos.features.accounts.actor import Actor
from llmos.features.accounts.policy import get_namespace
from llmos.features.auth.credentials import actor_for_user
from llmos.features.endpoints.models import Endpoint, Replica
from llmos.features.jobs.runners import register_runner
from llmos.infra.runtime import Runtime

GIB = 1024**3
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}


def model_files(**config: Any) -> dict[str, bytes]:
    """The least that can be served: weights, a configuration, a tokenizer."""
    return {
        "config.json": json.dumps(CONFIG | config).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors": save({"w": np.zeros((4, 4), dtype=np.float32)}),
    }


@dataclass
class EngineLine:
    """The runner's end of a channel: what the hub sends, and what an engine answers."""

    socket: WebSocketTestSession
    pending: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> dict[str, Any]:
        """The next line of the hub."""
        while not self.pending:
            data = self.socket.receive_bytes()
            self.pending += [json.loads(line) for line in data.split(b"\n") if line]
        return self.pending.pop(0)

    def say(self, *frames: dict[str, Any]) -> None:
        self.socket.send_bytes(b"\n".join(json.dumps(frame).encode() for frame in frames) + b"\n")

    def ready(self, max_streams: int = 2, **facts: Any) -> None:
        known = {"engine": "transformers", "task": "text-generation", "max_streams": max_streams}
        self.say({"event": "stage", "stage": "load"}, {"event": "ready", "facts": known | facts})

    def answer(self, call: dict[str, Any], text: str = "hello") -> None:
        """All of a short answer."""
        number = call["id"]
        self.say(
            {"id": number, "event": "start", "prompt_tokens": 3},
            {"id": number, "event": "delta", "index": 0, "text": text, "count": 1},
            {"id": number, "event": "finish", "index": 0, "reason": "stop"},
            {"id": number, "event": "done", "prompt_tokens": 3, "completion_tokens": 1, "cached_tokens": 0},
        )


@dataclass
class Machine:
    """One runner with room for engines."""

    http: TestClient
    token: str
    memory_bytes: int = 8 * GIB
    slots: int = 4
    gpus: int = 0
    leases: dict[str, str] = field(default_factory=dict)

    def _hello(self) -> dict[str, Any]:
        serving = {"slots": self.slots, "free_slots": self.slots, "engines": ["transformers"]}
        serving |= {"memory_bytes": self.memory_bytes, "free_memory_bytes": self.memory_bytes}
        resources = {"cores": 8, "memory_bytes": 16 * GIB, "gpus": self.gpus}
        return {"name": "box", "resources": resources, "kinds": ["engine"], "serving": serving}

    def _post(self, path: str, body: dict[str, Any], lease: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "X-LLMOS-Lease": lease}
        return self.http.post(f"/api/runners/{path}", json=body, headers=headers)

    def hello(self) -> None:
        assert self._post("hello", self._hello()).status_code == 200

    def claim(self, wait_s: float = 5) -> dict[str, Any] | None:
        """The engine that is wanted; None when none is."""
        answer = self._post("claim", self._hello() | {"wait_s": wait_s})
        if answer.status_code == 204:
            return None
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        self.leases[found["spec"]["job_id"]] = found["lease"]["lease_token"]
        return found["spec"]  # type: ignore[no-any-return]

    def state(self, job_id: str, state: str, **more: Any) -> Any:
        return self._post(f"jobs/{job_id}/state", {"state": state, **more}, self.leases[job_id])

    def beat(self, job_id: str) -> None:
        answer = self._post(f"jobs/{job_id}/heartbeat", {}, self.leases[job_id])
        assert answer.status_code == 200, answer.text

    def headers(self, job_id: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "X-LLMOS-Lease": self.leases[job_id]}

    @contextmanager
    def channel(self, job_id: str) -> Iterator[EngineLine]:
        path = f"/api/runners/jobs/{job_id}/channel"
        with self.http.websocket_connect(path, headers=self.headers(job_id)) as socket:
            yield EngineLine(socket)

    @contextmanager
    def engine(self, max_streams: int = 2) -> Iterator[EngineLine]:
        """Take the engine that is wanted and make it ready."""
        spec = self.claim()
        assert spec is not None
        self.state(spec["job_id"], "running")
        with self.channel(spec["job_id"]) as line:
            line.ready(max_streams)
            yield line


@dataclass
class Serving:
    rt: Runtime
    http: TestClient
    tokens: dict[str, str]
    pool: ThreadPoolExecutor

    def actor(self, name: str) -> Actor:
        with self.rt.database.reading() as db:
            namespace = get_namespace(db, name)
            assert namespace is not None
            assert namespace.user is not None
            return actor_for_user(db, namespace.user)

    def api(self, method: str, path: str, person: str = "ada", **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[person]}"} if person else {}
        return self.http.request(method, path, headers=headers, **options)

    def model(self, name: str, files: dict[str, bytes] | None = None, *, private: bool = False) -> str:
        """A model of its owner with these files; its name."""
        owner, short = name.split("/")
        self.api("POST", "/api/repos/create", owner, json={"name": short, "private": private})
        self.push(name, files or model_files())
        return name

    def push(self, name: str, files: dict[str, bytes]) -> str:
        """A commit on main; its id."""
        import base64

        lines = [{"key": "header", "value": {"summary": "files"}}]
        for path, content in files.items():
            value = {"path": path, "encoding": "base64", "content": base64.b64encode(content).decode()}
            lines.append({"key": "file", "value": value})
        body = "\n".join(json.dumps(line) for line in lines)
        answer = self.http.post(
            f"/api/models/{name}/commit/main",
            content=body,
            headers={
                "Authorization": f"Bearer {self.tokens[name.split('/', maxsplit=1)[0]]}",
                "Content-Type": "application/x-ndjson",
            },
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["commitOid"])

    def machine(self, **values: Any) -> Machine:
        with self.rt.database.writing() as db:
            _, token = register_runner(db, self.actor("root-admin"), name="box", scope="instance")
        machine = Machine(self.http, token, **values)
        machine.hello()
        return machine

    def ask(self, model: str, person: str = "ada", **more: Any) -> Future[Any]:
        """A chat, in a thread of its own."""
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]} | more
        return self.pool.submit(self.api, "POST", "/v1/chat/completions", person, json=body)

    def replicas(self, name: str) -> list[Replica]:
        with self.rt.database.reading() as db:
            return (
                db.query(Replica)
                .join(Endpoint, Endpoint.id == Replica.endpoint_id)
                .filter((Endpoint.name == name) | Endpoint.name.is_(None))
                .order_by(Replica.id)
                .all()
            )

    def change(self, act: Callable[[Any], Any]) -> Any:
        with self.rt.database.writing() as db:
            return act(db)


def wait_until(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    """Until something another thread brings about is so."""
    done = threading.Event()
    for _ in range(int(limit_s / 0.02)):
        if condition():
            return
        done.wait(0.02)
    raise AssertionError("it did not come about")
