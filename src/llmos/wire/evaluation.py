"""What an evaluation gave, and the signed statement of it. Shapes only.

Version 1. An `EvaluationRecipe` (`llmos.wire.evaluation_recipe`) goes to the machine side; a `Statement`
comes back with one `Sample` for each row asked. The statement is an in-toto Statement v1 (in-toto
attestation framework, "Statement"): its subjects are the weight files, its predicate is ours,
`PREDICATE_TYPE`. It names everything the score depends on by SHA-256, in lower-case hex. How each digest
is made is told in `llmos.records.digests`.

Unlike the messages of jobs these shapes refuse fields and types they do not know: what is signed must
mean the same to every reader.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from llmos.wire.evaluation_recipe import ContextPolicy, Name, Place

STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Literal["urn:llmos:evaluation:v1"] = "urn:llmos:evaluation:v1"
PAYLOAD_TYPE: Literal["application/vnd.in-toto+json"] = "application/vnd.in-toto+json"
TREE_HEAD_TYPE = "application/vnd.llmos.tree-head+json"
VERIFY_TOKEN = "llmos:v1:{keyid}:{record_id}"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RecordId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Text = Annotated[str, Field(max_length=20_000)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


class Part(BaseModel):
    """Part of a statement: made and read by programs, nothing is guessed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


# What it gave


class MetricValue(Part):
    """A score: `low` and `high` bound it (95 %), `n` samples count, `signature` says how it is made.

    It follows from the `scores` of the samples by the formula that the signature names as `agg:`; see
    `llmos.records.aggregates`.
    """

    name: Name
    value: Number
    low: Number | None = None
    high: Number | None = None
    n: Count
    signature: Text = ""
    higher_is_better: bool = True


class Sample(Part):
    """One row asked and what came back: a row of samples.parquet.

    `target` and `scores` are JSON; `scores` is an object {name: number}. `chosen` is the index of the
    choice with the best score, -1 where nothing is chosen. `prompt` is what the model read before the
    choices, few-shot examples and chat template included; `fewshot_ids` names the examples in order.
    """

    id: Annotated[str, Field(max_length=1000)]
    row_sha256: Sha256
    prompt_sha256: Sha256
    prompt: str
    choices: list[str] = []
    target: str = "null"
    output: str = ""
    logprobs: list[Annotated[float, Field(allow_inf_nan=True)]] = []
    chosen: Annotated[int, Field(ge=-1, lt=2**31)] = -1
    scores: str = "{}"
    fewshot_ids: list[str] = []
    truncated: bool = False
    tokens: Annotated[int, Field(ge=0, lt=2**31)] = 0


SAMPLE_COLUMNS = tuple(Sample.model_fields)


# The statement


class FileDigest(Part):
    path: Place
    size_bytes: Count
    sha256: Sha256


class ModelFacts(Part):
    """The model. An endpoint has no files and no digests: nobody can know what runs behind it."""

    repo: Name | None = None
    revision: Name | None = None
    name: Name
    endpoint: Annotated[str, Field(max_length=2000)] | None = None
    files: Annotated[list[FileDigest], Field(max_length=100_000)] = []
    weights_sha256: Sha256 | None = None
    tokenizer_sha256: Sha256 | None = None
    chat_template_sha256: Sha256 | None = None
    parameters: Count | None = None
    dtype: Annotated[str, Field(max_length=40)] = ""


class BenchmarkFacts(Part):
    """The task and its rows. `row_count` rows were asked, in the order of the samples."""

    repo: Name | None = None
    revision: Name | None = None
    name: Name
    task_id: Name
    config: Annotated[str, Field(max_length=400)] | None = None
    split: Annotated[str, Field(max_length=400)] | None = None
    language: Annotated[str, Field(max_length=100)] | None = None
    row_count: Count
    rows_sha256: Sha256
    task_sha256: Sha256
    task: dict[str, Any]


class Fewshot(Part):
    """The examples shown: `rows` holds the digest of each one that came from the data, by its id."""

    count: Count = 0
    seed: Seed = 0
    order_sha256: Sha256
    rows: dict[Annotated[str, Field(max_length=1000)], Sha256] = {}


class RunSettings(Part):
    """What moves a score besides model and task. `limit` None: every row of the split."""

    seed: Seed
    limit: Count | None = None
    batch_size: Count = 0
    threads: Count = 0
    dtype: Annotated[str, Field(max_length=40)] = "float32"
    device: Annotated[str, Field(max_length=40)] = "cpu"
    max_new_tokens: Count | None = None
    stop: Annotated[list[str], Field(max_length=1000)] = []
    temperature: Amount = 0.0
    context_policy: ContextPolicy = "refuse"
    chat_template: bool = False
    engine: Name = "local"


class SampleCounts(Part):
    samples: Count
    truncated: Count = 0
    skipped: Count = 0
    failed: Count = 0


class SampleDigests(Part):
    """`merkle_root`: of the samples in order (RFC 6962, section 2.1); `file_sha256`: of samples.parquet."""

    count: Count
    merkle_root: Sha256
    file_sha256: Sha256


class Environment(Part):
    """The machine. `lock_sha256` is the digest of the sorted lines name==version of `packages`."""

    lock_sha256: Sha256
    packages: dict[Annotated[str, Field(max_length=200)], Annotated[str, Field(max_length=200)]]
    python: Annotated[str, Field(max_length=200)] = ""
    platform: Annotated[str, Field(max_length=400)] = ""
    processor: Annotated[str, Field(max_length=400)] = ""
    cores: Count = 0
    gpus: Annotated[list[Annotated[str, Field(max_length=400)]], Field(max_length=10_000)] = []


class Cost(Part):
    wall_s: Amount = 0.0
    cpu_s: Amount = 0.0
    energy_wh: Amount | None = None
    energy_method: Literal["measured", "estimated"] | None = None
    tokens: Count = 0


class RunFacts(Part):
    job_id: Annotated[str, Field(pattern=r"^[0-9a-f]{24}$")] | None = None
    runner: Name | None = None
    instance_url: Annotated[str, Field(max_length=2000)] | None = None


class Predicate(Part):
    """The record. `record_id` follows from everything else: see `llmos.records.digests.record_id`."""

    record_id: RecordId
    created_at: AwareDatetime
    model: ModelFacts
    benchmark: BenchmarkFacts
    fewshot: Fewshot
    prompts_sha256: Sha256
    settings: RunSettings
    metrics: Annotated[list[MetricValue], Field(max_length=1000)]
    counts: SampleCounts
    samples: SampleDigests
    environment: Environment
    cost: Cost = Cost()
    run: RunFacts = RunFacts()


class SubjectDigest(Part):
    sha256: Sha256


class Subject(Part):
    name: Place
    digest: SubjectDigest


class Statement(Part):
    """An in-toto statement: the weight files, or samples.parquet of an endpoint, have this record."""

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=True, serialize_by_alias=True)

    type: Literal["https://in-toto.io/Statement/v1"] = Field(STATEMENT_TYPE, alias="_type")
    subject: Annotated[list[Subject], Field(min_length=1, max_length=100_000)]
    predicate_type: Literal["urn:llmos:evaluation:v1"] = Field(PREDICATE_TYPE, alias="predicateType")
    predicate: Predicate


# The envelope and the log


class Signature(Part):
    """`keyid` is the SHA-256 of the raw public key, `sig` the Ed25519 signature in base64."""

    keyid: Sha256
    sig: Annotated[str, Field(max_length=200)]


class Envelope(Part):
    """A DSSE envelope (Dead Simple Signing Envelope v1): `payload` is the statement in base64."""

    model_config = ConfigDict(validate_by_alias=True, validate_by_name=True, serialize_by_alias=True)

    payload_type: Literal["application/vnd.in-toto+json"] = Field(PAYLOAD_TYPE, alias="payloadType")
    payload: str
    signatures: Annotated[list[Signature], Field(min_length=1, max_length=10)]


class TreeHead(Part):
    """What a log promises: its first `tree_size` entries have this root. Signed by `keyid`, the log's key.

    Signed is the canonical JSON of the fields but `keyid` and `sig`, as a DSSE payload of TREE_HEAD_TYPE.
    """

    log_id: Sha256
    tree_size: Count
    root: Sha256
    at: AwareDatetime
    keyid: Sha256
    sig: Annotated[str, Field(max_length=200)]


class LogProof(Part):
    """Where in a log the statement is: entry `leaf_index` of the tree of `tree_size` with `root`."""

    log_id: Sha256
    leaf_index: Count
    tree_size: Count
    root: Sha256
    proof: Annotated[list[Sha256], Field(max_length=64)]
    tree_head: TreeHead
