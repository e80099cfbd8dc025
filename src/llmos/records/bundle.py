"""The folder that holds a record: statement.json, samples.parquet and what belongs to them.

| file | what |
|---|---|
| `statement.json` | the in-toto statement, canonical JSON: the bytes that are signed |
| `envelope.json` | the signature (DSSE); absent while nobody has signed |
| `samples.parquet` | one row for each sample, with the hash of its leaf |
| `log.json` | where in a log the statement is; absent while it is in none |
| `recipe.yaml` | the recipe, to run it again |
| `places.json` | where things lay; a hint, never evidence |
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from llmos.core.clock import now
from llmos.records import digests
from llmos.records.canonical import MAX_DEPTH, canonical, parse
from llmos.records.envelope import envelope_bytes, sign
from llmos.records.errors import RecordError
from llmos.records.facts import SAMPLES_FILE, leaf_of, samples_root, subjects
from llmos.records.keys import PrivateKey
from llmos.wire.evaluation import (
    BenchmarkFacts,
    Cost,
    Envelope,
    Environment,
    Fewshot,
    LogProof,
    MetricValue,
    ModelFacts,
    Predicate,
    RunFacts,
    RunSettings,
    Sample,
    SampleCounts,
    SampleDigests,
    Statement,
)
from llmos.wire.evaluation_recipe import EvaluationRecipe, Places

STATEMENT_FILE = "statement.json"
ENVELOPE_FILE = "envelope.json"
LOG_FILE = "log.json"
RECIPE_FILE = "recipe.yaml"
PLACES_FILE = "places.json"
MAX_STATEMENT_BYTES = 16_000_000
MAX_SMALL_BYTES = 1_000_000
# YAML is read slowly: some seconds for a megabyte.
MAX_RECIPE_BYTES = 200_000

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True)
class Outcome:
    """What an evaluation gave, before it is a record."""

    model: ModelFacts
    benchmark: BenchmarkFacts
    fewshot: Fewshot
    settings: RunSettings
    metrics: list[MetricValue]
    counts: SampleCounts
    environment: Environment
    cost: Cost = field(default_factory=Cost)
    run: RunFacts = field(default_factory=RunFacts)
    created_at: datetime = field(default_factory=now)


@dataclass(frozen=True)
class Bundle:
    """A bundle as it was read: nothing of it is checked yet. What is not there is None."""

    folder: Path
    statement_bytes: bytes | None
    envelope: Envelope | None
    log: LogProof | None
    recipe: EvaluationRecipe | None
    places: Places
    # What could not be read, and why, by file.
    broken: dict[str, str]


def write_bundle(
    folder: Path,
    outcome: Outcome,
    samples: Sequence[Sample],
    *,
    recipe: EvaluationRecipe,
    places: Places | None = None,
) -> Statement:
    """Write an unsigned bundle; its statement. What an older bundle left in `folder` is replaced.

    The statement is written last, so that a folder with one is whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (STATEMENT_FILE, ENVELOPE_FILE, LOG_FILE):
        (folder / name).unlink(missing_ok=True)
    rows = [sample.model_dump() for sample in samples]
    leaves = [leaf_of(row) for row in rows]
    _write_samples(folder, rows, leaves)
    sha256 = digests.hash_file(folder / SAMPLES_FILE).sha256
    sample_digests = SampleDigests(count=len(rows), merkle_root=samples_root(leaves), file_sha256=sha256)
    statement = make_statement(outcome, samples, sample_digests)
    _publish(folder / RECIPE_FILE, dump_recipe(recipe).encode())
    _publish(folder / PLACES_FILE, canonical((places or Places()).model_dump(mode="json")) + b"\n")
    _publish(folder / STATEMENT_FILE, statement_bytes(statement))
    return statement


def make_statement(outcome: Outcome, samples: Sequence[Sample], sample_digests: SampleDigests) -> Statement:
    """The statement of an outcome, named by its own content."""
    predicate = Predicate(
        record_id="0" * 32,
        created_at=outcome.created_at,
        model=outcome.model,
        benchmark=outcome.benchmark,
        fewshot=outcome.fewshot,
        prompts_sha256=digests.prompts_digest(sample.prompt_sha256 for sample in samples),
        settings=outcome.settings,
        metrics=outcome.metrics,
        counts=outcome.counts,
        samples=sample_digests,
        environment=outcome.environment,
        cost=outcome.cost,
        run=outcome.run,
    )
    statement = Statement(subject=subjects(outcome.model, sample_digests.file_sha256), predicate=predicate)
    named = predicate.model_copy(update={"record_id": digests.record_id(statement.model_dump(mode="json"))})
    return statement.model_copy(update={"predicate": named})


def statement_bytes(statement: Statement) -> bytes:
    """The content of statement.json, which is what gets signed and logged."""
    return canonical(statement.model_dump(mode="json"))


def parse_statement(raw: bytes, *, name: str = STATEMENT_FILE) -> Statement:
    """The statement in `raw`. Raises RecordError when it is none, with the first field that is wrong."""
    value = parse(raw, name=name)
    try:
        # Times and the like are text in JSON, which only this way in takes for what they are.
        return Statement.model_validate_json(canonical(value))
    except ValidationError as error:
        raise refuse_shape(error, name) from error


def read_bundle(folder: Path) -> Bundle:
    """What is in a bundle; files that cannot be read are named in `broken`.

    Raises RecordError when `folder` is no folder, or holds neither a statement nor an envelope.
    """
    if not folder.is_dir():
        raise RecordError(f"{folder} is not a folder with a bundle.", file=folder.name)
    broken: dict[str, str] = {}

    def attempt(name: str, most_bytes: int) -> bytes | None:
        try:
            return _read(folder / name, most_bytes)
        except RecordError as error:
            broken[name] = error.message
            return None

    def shaped(name: str, kind: type[ModelT], most_bytes: int) -> ModelT | None:
        raw = attempt(name, most_bytes)
        try:
            return None if raw is None else read_shape(raw, kind, name=name)
        except RecordError as error:
            broken[name] = error.message
            return None

    statement = attempt(STATEMENT_FILE, MAX_STATEMENT_BYTES)
    envelope = shaped(ENVELOPE_FILE, Envelope, 2 * MAX_STATEMENT_BYTES)
    if statement is None and envelope is None:
        raise RecordError(
            broken.get(STATEMENT_FILE) or broken.get(ENVELOPE_FILE) or f"{folder} holds no {STATEMENT_FILE}.",
            file=STATEMENT_FILE,
        )
    log = shaped(LOG_FILE, LogProof, MAX_SMALL_BYTES)
    places = shaped(PLACES_FILE, Places, MAX_SMALL_BYTES) or Places()
    recipe = None
    raw = attempt(RECIPE_FILE, MAX_RECIPE_BYTES)
    try:
        recipe = None if raw is None else parse_recipe(raw)
    except RecordError as error:
        broken[RECIPE_FILE] = error.message
    return Bundle(folder, statement, envelope, log, recipe, places, broken)


def sign_bundle(folder: Path, key: PrivateKey) -> Envelope:
    """Sign the statement of a bundle; envelope.json. Raises RecordError when there is no valid statement."""
    raw = _read(folder / STATEMENT_FILE, MAX_STATEMENT_BYTES)
    if raw is None:
        raise RecordError(f"{folder} holds no {STATEMENT_FILE}.", file=STATEMENT_FILE)
    parse_statement(raw)
    envelope = sign(raw, key)
    _publish(folder / ENVELOPE_FILE, envelope_bytes(envelope))
    return envelope


def write_log_proof(folder: Path, proof: LogProof) -> None:
    """Put log.json into a bundle."""
    _publish(folder / LOG_FILE, canonical(proof.model_dump(mode="json")) + b"\n")


def dump_recipe(recipe: EvaluationRecipe) -> str:
    """The recipe as YAML: what was set and nothing else."""
    value = recipe.model_dump(mode="json", exclude_unset=True)
    return yaml.safe_dump({"version": 1, **value}, sort_keys=False, allow_unicode=True)


def parse_recipe(raw: bytes, *, name: str = RECIPE_FILE) -> EvaluationRecipe:
    """The recipe in a YAML or JSON text. Raises RecordError, also for aliases, which may grow without end."""
    try:
        value = yaml.load(raw.decode("utf-8"), Loader=_PlainLoader)
        return EvaluationRecipe.model_validate(value)
    except ValidationError as error:
        raise refuse_shape(error, name) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecordError(f"{name} is not YAML that can be used: {error}.", file=name) from error


def read_shape(raw: bytes, kind: type[ModelT], *, name: str) -> ModelT:
    """A message of `kind` in a JSON text. Raises RecordError with the first field that is wrong."""
    try:
        return kind.model_validate_json(canonical(parse(raw, name=name)))
    except ValidationError as error:
        raise refuse_shape(error, name) from error


def refuse_shape(error: ValidationError, name: str) -> RecordError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "its top"
    return RecordError(f"{name}: {place}: {first['msg']}.", file=name)


class _PlainLoader(yaml.SafeLoader):
    """YAML without anchors, a few lines of which stand for billions of values, and not too deep."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise yaml.YAMLError(f"it is nested more than {MAX_DEPTH} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _write_samples(folder: Path, rows: list[dict[str, Any]], leaves: Sequence[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, texts = pa.string(), pa.list_(pa.string())
    kinds = {
        "choices": texts, "fewshot_ids": texts, "logprobs": pa.list_(pa.float64()),
        "chosen": pa.int32(), "tokens": pa.int32(), "truncated": pa.bool_(),
    }  # fmt: skip
    names = [*Sample.model_fields, "leaf_sha256"]
    schema = pa.schema([pa.field(name, kinds.get(name, text), nullable=False) for name in names])
    full = [{**row, "leaf_sha256": leaf.hex()} for row, leaf in zip(rows, leaves, strict=True)]
    draft = folder / f".{SAMPLES_FILE}"
    pq.write_table(pa.Table.from_pylist(full, schema=schema), draft, compression="zstd", row_group_size=1000)
    _settle(draft, folder / SAMPLES_FILE)


def _publish(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    draft.write_bytes(data)
    _settle(draft, path)


def _settle(draft: Path, path: Path) -> None:
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(path)


def _read(path: Path, most_bytes: int) -> bytes | None:
    """The content of a file of a bundle; None when it is not there. Links are refused: they lead outside."""
    if not path.exists() and not path.is_symlink():
        return None
    with digests.open_regular(digests.locate(path.parent, path.name), follow_links=False) as file:
        raw = file.read(most_bytes + 1)
    if len(raw) > most_bytes:
        raise RecordError(f"{path.name} has more than {most_bytes:,} bytes.", file=path.name)
    return raw
