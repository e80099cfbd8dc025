"""What a runner says of itself, and what the hub answers. The calls are listed in `wire.jobs`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from llmos.wire.jobs import MAX_CLAIM_WAIT_S, WIRE_VERSION, Message, Name, Resources

Label = Annotated[str, Field(min_length=1, max_length=120)]
LabelValue = Annotated[str, Field(max_length=200)]


class Serving(Message):
    """What a runner has for engines, beside its jobs: how many at a time, and memory for all of them."""

    slots: Annotated[int, Field(ge=0, le=100)] = 0
    free_slots: Annotated[int, Field(ge=0, le=100)] = 0
    memory_bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    free_memory_bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    engines: Annotated[tuple[Label, ...], Field(max_length=20)] = ()


class RunnerHello(Message):
    """A machine, what it has and what is free on it just now.

    `executors` say how it runs an image: "sandbox" (Python and uv without a container engine),
    "podman", "docker", "ray", "process" (no isolation: trusted machines and tests only).
    `engines` are the programs it knows: "lab", "uv", "llama.cpp". `kinds` are the jobs it takes: one
    that serves models asks for "engine" alone, in calls of their own, and `serving` says what is free.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "ada-laptop",
                    "labels": {"os": "linux"},
                    "resources": {"cores": 8, "memory_bytes": 17_179_869_184},
                    "engines": ["lab", "uv"],
                    "executors": ["sandbox"],
                    "version": "0.1.0",
                }
            ]
        }
    )

    wire_version: int = WIRE_VERSION
    name: Name
    labels: dict[Label, LabelValue] = Field(default_factory=dict, max_length=50)
    resources: Resources = Resources()
    free: Resources | None = None
    engines: Annotated[tuple[Label, ...], Field(max_length=50)] = ()
    executors: Annotated[tuple[Label, ...], Field(max_length=20)] = ("sandbox",)
    kinds: tuple[Literal["command", "recipe", "engine"], ...] = ("command", "recipe")
    serving: Serving | None = None
    version: Annotated[str, Field(max_length=60)] = ""
    load: Annotated[float, Field(ge=0)] = 0
    running: Annotated[int, Field(ge=0)] = 0
    wait_s: Annotated[float, Field(ge=0, le=MAX_CLAIM_WAIT_S)] = MAX_CLAIM_WAIT_S


class RunnerWelcome(Message):
    """How the hub sees this runner. A draining one finishes what it has and gets nothing new."""

    runner_id: str
    name: Name
    scope: Literal["instance", "organization", "person", "repository"]
    scope_name: str = ""
    trusted: bool
    draining: bool
    heartbeat_s: float
    lease_s: float
    hub_url: str
    server_time: AwareDatetime


class DrainRequest(Message):
    """Stop, or begin again, to hand jobs to this runner. `release` gives back what it holds."""

    draining: bool = True
