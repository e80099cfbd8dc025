"""A job on its way from the hub to a runner, and what the runner tells of it. Shapes only.

Version 1. Every message ignores fields it does not know, so that a newer side may add some. Times
are the hub's; durations are seconds. A runner measures its lease with its own monotonic clock from
`lease_s`, never by comparing `expires_at` with its wall clock.

Every call carries `Authorization: Bearer <runner token>`; calls about one job also carry
`X-LLMOS-Lease: <lease_token>`. Answers other than 2xx are `{"error": text}`; a 409 also
has `code` and `state`.

| call | body | answer |
|---|---|---|
| `POST /api/runners/hello` | `RunnerHello` | 200 `RunnerWelcome` |
| `POST /api/runners/claim` | `RunnerHello` (waits `wait_s`, at most 20) | 200 `Claim`, or 204: nothing |
| `POST /api/runners/jobs/{job_id}/events` | `EventBatch` | 200 `EventAnswer` |
| `POST /api/runners/jobs/{job_id}/heartbeat` | `Heartbeat` | 200 `EventAnswer` |
| `POST /api/runners/jobs/{job_id}/state` | `StateProposal` | 200 `StateAnswer` |
| `POST /api/runners/drain` | `DrainRequest` | 200 `RunnerWelcome` |

What a runner does with a refusal: 401 the runner token is gone: stop. 404 the job is gone: kill it.
409 `LeaseLost`: somebody else has the job, kill it and forget its results. 409 `StateRefused`: the
proposal does not follow from the present state, which `data.state` names. 413 and 422: the message
is wrong, do not repeat it. 429, 5xx and a broken connection: repeat with back-off; repeating a batch
or a proposal is always safe. The events of an attempt are numbered from 0; the hub keeps each number
once and a batch may overlap what it holds. Send all events before the final state, or the last ones
with it: later ones are dropped.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

WIRE_VERSION = 1
LEASE_HEADER = "X-LLMOS-Lease"
MAX_CLAIM_WAIT_S = 20.0
MAX_EVENTS = 2000
MAX_LINE_CHARS = 16_384
# Where a hub serves the JSON schema of training recipes to editors.
RECIPE_SCHEMA_PATH = "/-/schemas/recipe.json"

JobKind = Literal["command", "recipe", "engine"]
InputType = Literal["model", "dataset", "space", "bucket"]
OutputType = Literal["model", "dataset", "space", "bucket"]
# What a runner may propose. `preparing` and `running` may be said again; `released` hands the job
# back (drain, shutdown, a machine in trouble) without counting as a failed attempt.
ProposedState = Literal["preparing", "running", "succeeded", "failed", "canceled", "timed_out", "released"]
# What the hub may say a job is in.
JobState = Literal[
    "waiting", "queued", "preparing", "running", "succeeded", "failed", "canceled", "timed_out"
]

Name = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=4000)]


class Message(BaseModel):
    # Built when the first one is read: a start makes forty such classes and needs none of them.
    model_config = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="constants", defer_build=True)


class Resources(Message):
    """What a job asks for, or what a machine has. 0 means: none asked, or none there."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"cores": 2, "memory_bytes": 4_294_967_296, "gpus": 0}]}
    )

    cores: Annotated[float, Field(ge=0, le=100_000)] = 0
    memory_bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    gpus: Annotated[int, Field(ge=0, le=10_000)] = 0
    gpu_memory_bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    disk_bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    flavor: Annotated[str, Field(max_length=60)] = ""


class JobInput(Message):
    """Files of a repository at one commit, to be laid read-only at `path` inside the job.

    `path` is absolute as the job sees it ("/data"). `revision` is a commit id; a bucket has none.
    `read_only=False` is possible for buckets only: what changed under `path` goes back at the end.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"type": "dataset", "repo": "ada/poems", "revision": "8f" * 20, "path": "/data"}]
        }
    )

    type: InputType
    repo: Name
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    path: Annotated[str, Field(max_length=1000)]
    sub_path: Annotated[str, Field(max_length=1000)] = ""
    read_only: bool = True


class JobOutput(Message):
    """A folder of the job, relative to its working folder, that becomes a commit on `branch`.

    With `pull_request` it is offered as a pull request instead (the Hub's `create_pr`): the token then
    allows no more. Untrusted runners always get it.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"repo": "ada/tiny-llm", "type": "model", "branch": "main", "path": "out"}]
        }
    )

    repo: Name
    type: OutputType = "model"
    branch: Annotated[str, Field(min_length=1, max_length=200)] = "main"
    path: Annotated[str, Field(min_length=1, max_length=1000)] = "output"
    pull_request: bool = False


class ResumePoint(Message):
    """The checkpoint an earlier attempt saved: continue from there."""

    repo: Name
    type: OutputType = "model"
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    path: Annotated[str, Field(max_length=1000)] = ""
    step: Annotated[int, Field(ge=0)] = 0


class JobSpec(Message):
    """One attempt at a job, complete: nothing else is needed to run it.

    A `command` job runs `command + arguments`; a `recipe` job runs the training lab on `recipe`; an
    `engine` job serves its one input, laid at /model, by `engine` (a `wire.serving.EngineSpec`), and
    opens a channel: a WebSocket at `/api/runners/jobs/{job_id}/channel`, with the same two headers.
    `token` lives as long as the attempt may last and reaches only the inputs and outputs.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "version": 1,
                    "job_id": "68780d00bbe36d38803f645f",
                    "attempt": 1,
                    "kind": "command",
                    "image": "python:3.12",
                    "command": ["python", "-c", "print('hello')"],
                    "owner": "ada",
                    "hub_url": "https://hub.example.org",
                    "token": "hf_" + "x" * 37,
                    "timeout_s": 1800,
                }
            ]
        }
    )

    version: int = WIRE_VERSION
    job_id: Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")]
    attempt: Annotated[int, Field(ge=1)]
    kind: JobKind
    owner: Name
    image: Annotated[str, Field(max_length=500)] = ""
    command: list[str] = []
    arguments: list[str] = []
    environment: dict[str, str] = {}
    secrets: dict[str, str] = {}
    recipe: dict[str, Any] | None = None
    engine: dict[str, Any] | None = None
    inputs: list[JobInput] = []
    outputs: list[JobOutput] = []
    resources: Resources = Resources()
    timeout_s: Annotated[float, Field(gt=0)] = 1800.0
    network: bool = False
    hub_url: str
    token: str = ""
    labels: dict[str, str] = {}
    resume_from: ResumePoint | None = None


class Lease(Message):
    """The right to run one attempt. It ends `lease_s` after the last answer that renewed it."""

    lease_token: Annotated[str, Field(min_length=16, max_length=200)]
    expires_at: AwareDatetime
    lease_s: Annotated[float, Field(gt=0)]
    heartbeat_s: Annotated[float, Field(gt=0)]


class Claim(Message):
    """A job and the lease on it."""

    spec: JobSpec
    lease: Lease


class LogLine(Message):
    """One line of output without its end. `at` is the runner's clock, for people only."""

    kind: Literal["log"] = "log"
    text: Annotated[str, Field(max_length=MAX_LINE_CHARS)]
    stream: Literal["stdout", "stderr", "system"] = "stdout"
    at: AwareDatetime | None = None


class MetricPoint(Message):
    """One value of a curve, as `train/loss` at a step. Not-a-number and infinity are allowed."""

    kind: Literal["metric"] = "metric"
    step: Annotated[int, Field(ge=0, lt=2**63)]
    name: Annotated[str, Field(min_length=1, max_length=120)]
    value: float


class Progress(Message):
    """How far a job is: `done` of `total` units; `total` 0 when nobody knows."""

    kind: Literal["progress"] = "progress"
    done: Annotated[float, Field(ge=0)]
    total: Annotated[float, Field(ge=0)] = 0
    unit: Annotated[str, Field(max_length=40)] = ""


class ResourceSample(Message):
    """What the job uses now; `energy_wh` counts from the start of the attempt.

    `cpu` is in cores (1.5 = one and a half busy). `energy_method` says how the energy is known.
    """

    kind: Literal["sample"] = "sample"
    cpu: Annotated[float, Field(ge=0)] = 0
    memory_bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    disk_bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    gpu: Annotated[float, Field(ge=0)] = 0
    gpu_memory_bytes: Annotated[int, Field(ge=0, lt=2**63)] = 0
    energy_wh: Annotated[float, Field(ge=0)] = 0
    energy_method: Literal["measured", "estimated"] = "estimated"


class Phase(Message):
    """What the job does at the moment, in words: "fetch inputs", "train", "publish"."""

    kind: Literal["phase"] = "phase"
    phase: Annotated[str, Field(min_length=1, max_length=120)]


class Checkpoint(Message):
    """A checkpoint that has arrived in a repository; a later attempt resumes from the newest one."""

    kind: Literal["checkpoint"] = "checkpoint"
    point: ResumePoint


JobEvent = Annotated[
    LogLine | MetricPoint | Progress | ResourceSample | Phase | Checkpoint,
    Field(discriminator="kind"),
]


class EventBatch(Message):
    """Events in order; the first has the number `first_seq`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"first_seq": 0, "events": [{"kind": "log", "text": "step 1"}]}]}
    )

    first_seq: Annotated[int, Field(ge=0, lt=2**53)]
    events: Annotated[list[JobEvent], Field(max_length=MAX_EVENTS)]


class EventAnswer(Message):
    """`accepted_seq`: the highest number the hub holds without a gap, -1 for none; send on from there.

    `cancel_requested`: stop the job, then propose `canceled`.
    """

    accepted_seq: Annotated[int, Field(ge=-1)]
    cancel_requested: bool = False
    lease_expires_at: AwareDatetime
    lease_s: float


class Heartbeat(Message):
    """Said every `heartbeat_s` while a job is held; sending events counts as well."""

    sample: ResourceSample | None = None


class OutputRevision(Message):
    """What a job made: a commit, and a digest of what it holds so that two results can be compared."""

    repo: Name
    type: OutputType = "model"
    revision: Annotated[str, Field(max_length=80)]
    digest: Annotated[str, Field(max_length=200)] = ""


class StateProposal(Message):
    """What the runner says the job is in; the hub accepts it or answers 409."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"state": "failed", "exit_code": 1, "reason": "exit code 1"}]}
    )

    state: ProposedState
    exit_code: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    reason: Text = ""
    outputs: Annotated[list[OutputRevision], Field(max_length=50)] = []
    # The last events, as in an `EventBatch`: they are kept if, and only if, the state is accepted.
    first_seq: Annotated[int, Field(ge=0, lt=2**53)] = 0
    events: Annotated[list[JobEvent], Field(max_length=MAX_EVENTS)] = []


class StateAnswer(Message):
    """The state the job is in now. A failed attempt that is tried again answers `queued`."""

    state: JobState
    cancel_requested: bool = False
