"""A hub with jobs, and runners that speak to it as real ones do: by HTTP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.testclient import TestClient

from llmos.core import clock
from llmos.features.accounts.actor import Actor
from llmos.features.accounts.policy import get_namespace
from llmos.features.auth.credentials import actor_for_user
from llmos.features.jobs.models import Job
from llmos.features.jobs.requests import parse_request
from llmos.features.jobs.runners import register_runner
from llmos.features.jobs.service import submit
from llmos.infra.runtime import Runtime

MACHINE = {"cores": 8, "memory_bytes": 16 * 1024**3, "disk_bytes": 10**12}


@dataclass
class FakeRunner:
    """One machine. `claim` returns the spec of a job, whose lease later calls show."""

    http: TestClient
    token: str
    name: str = "box"
    hello: dict[str, Any] = field(default_factory=dict)
    leases: dict[str, str] = field(default_factory=dict)

    def send(self, path: str, body: dict[str, Any], lease: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "X-LLMOS-Lease": lease}
        # Curves may hold NaN, which is not JSON to everybody.
        return self.http.post(f"/api/runners/{path}", content=json.dumps(body), headers=headers)

    def claim(self, **changes: Any) -> dict[str, Any] | None:
        hello = {"name": self.name, "resources": MACHINE, "wait_s": 0} | self.hello | changes
        answer = self.send("claim", hello)
        if answer.status_code == 204:
            return None
        assert answer.status_code == 200, answer.text
        found = answer.json()
        self.leases[found["spec"]["job_id"]] = found["lease"]["lease_token"]
        spec: dict[str, Any] = found["spec"]
        return spec

    def about(self, job_id: str, what: str, body: dict[str, Any]) -> Any:
        return self.send(f"jobs/{job_id}/{what}", body, self.leases[job_id])

    def events(self, job_id: str, first_seq: int, *events: dict[str, Any]) -> Any:
        return self.about(job_id, "events", {"first_seq": first_seq, "events": list(events)})

    def state(self, job_id: str, state: str, **more: Any) -> Any:
        return self.about(job_id, "state", {"state": state, **more})


def log(*texts: str) -> list[dict[str, Any]]:
    return [{"kind": "log", "text": text} for text in texts]


@dataclass
class Hub:
    rt: Runtime
    http: TestClient
    tokens: dict[str, str]

    def actor(self, name: str) -> Actor:
        with self.rt.database.reading() as db:
            namespace = get_namespace(db, name)
            assert namespace is not None
            assert namespace.user is not None
            return actor_for_user(db, namespace.user)

    def submit(self, owner: str = "ada", person: str | None = None, **body: Any) -> str:
        """The id of a new job, in the owner's queue."""
        body = body if "recipe" in body else {"command": ["true"]} | body
        actor = self.actor(person or owner)
        with self.rt.database.writing() as db:
            namespace = get_namespace(db, owner)
            assert namespace is not None
            return submit(db, self.rt, actor, namespace, parse_request(body)).object_id

    def runner(
        self, person: str = "root-admin", scope: str = "instance", target: str = "", **hello: Any
    ) -> FakeRunner:
        with self.rt.database.writing() as db:
            _, token = register_runner(
                db, self.actor(person), name=f"{person}-box", scope=scope, target=target
            )
        return FakeRunner(self.http, token, f"{person}-box", hello)

    def job(self, object_id: str) -> Job:
        with self.rt.database.reading() as db:
            return db.query(Job).filter(Job.object_id == object_id).one()

    def change(self, object_id: str, **values: Any) -> None:
        with self.rt.database.writing() as db:
            job = db.query(Job).filter(Job.object_id == object_id).one()
            for name, value in values.items():
                setattr(job, name, value)

    def api(self, method: str, path: str, person: str = "ada", **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.tokens[person]}"} if person else {}
        return self.http.request(method, path, headers=headers, **options)

    def ready(self, object_ids: Sequence[str]) -> None:
        """Let jobs that pause after a failure go on at once."""
        for object_id in object_ids:
            self.change(object_id, available_at=clock.now())


@pytest.fixture
def hub(rt: Runtime, app_client: TestClient, tokens: dict[str, str]) -> Hub:
    return Hub(rt, app_client, tokens)
