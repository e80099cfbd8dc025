"""Makes the parts of a statement from what was read, asked and answered."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmos.records import digests
from llmos.records.canonical import canonical, plain
from llmos.records.merkle import leaf_hash, root
from llmos.records.model_files import digest_model, get_role
from llmos.wire.evaluation import (
    BenchmarkFacts,
    Environment,
    Fewshot,
    FileDigest,
    ModelFacts,
    Sample,
    Subject,
    SubjectDigest,
)

SAMPLES_FILE = "samples.parquet"


def model_facts(
    folder: Path,
    *,
    name: str,
    repo: str | None = None,
    revision: str | None = None,
    parameters: int | None = None,
    dtype: str = "float32",
) -> ModelFacts:
    """The model in `folder`, every file digested. Raises RecordError when there are no weights."""
    found = digest_model(folder)
    return ModelFacts(
        repo=repo,
        revision=revision,
        name=name,
        files=found.files,
        weights_sha256=found.weights_sha256,
        tokenizer_sha256=found.tokenizer_sha256,
        chat_template_sha256=found.chat_template_sha256,
        parameters=parameters,
        dtype=dtype,
    )


def benchmark_facts(
    samples: Sequence[Sample],
    task: Mapping[str, Any],
    *,
    name: str,
    task_id: str,
    repo: str | None = None,
    revision: str | None = None,
    config: str | None = None,
    split: str | None = None,
    language: str | None = None,
) -> BenchmarkFacts:
    """The task, every default filled in, and the rows that were asked."""
    resolved: dict[str, Any] = plain(task)
    return BenchmarkFacts(
        repo=repo,
        revision=revision,
        name=name,
        task_id=task_id,
        config=config,
        split=split,
        language=language,
        row_count=len(samples),
        rows_sha256=digests.rows_digest(sample.row_sha256 for sample in samples),
        task_sha256=digests.task_digest(resolved),
        task=resolved,
    )


def fewshot_facts(
    samples: Sequence[Sample], *, count: int, seed: int, rows: Mapping[str, str] | None = None
) -> Fewshot:
    """The examples of all samples; `rows` holds the digests of those from the data, by id."""
    order = digests.fewshot_digest(sample.fewshot_ids for sample in samples)
    return Fewshot(count=count, seed=seed, order_sha256=order, rows=dict(sorted((rows or {}).items())))


def environment_facts(packages: Mapping[str, str] | None = None, *, gpus: Sequence[str] = ()) -> Environment:
    """This machine and the libraries of this Python, or those named in `packages`."""
    versions = dict(packages) if packages is not None else _installed()
    return Environment(
        lock_sha256=digests.lock_digest(versions),
        packages=versions,
        python=platform.python_version(),
        platform=platform.platform(),
        processor=_processor(),
        cores=os.cpu_count() or 0,
        gpus=list(gpus),
    )


def leaf_of(sample: Mapping[str, Any]) -> bytes:
    """The leaf hash of a row of samples.parquet: of its canonical JSON without `leaf_sha256`."""
    return leaf_hash(canonical(plain({key: sample[key] for key in sample if key != "leaf_sha256"})))


def samples_root(leaves: Sequence[bytes]) -> str:
    return root(leaves).hex()


def subjects(model: ModelFacts, samples_sha256: str) -> list[Subject]:
    """The weight files; samples.parquet where there are none, as behind an endpoint."""
    weights = [file for file in model.files if is_weights(file)]
    named = [(file.path, file.sha256) for file in weights] or [(SAMPLES_FILE, samples_sha256)]
    return [Subject(name=name, digest=SubjectDigest(sha256=sha256)) for name, sha256 in named]


def is_weights(file: FileDigest) -> bool:

    return get_role(file.path) == "weights" and not file.path.endswith(".json")


def _installed() -> dict[str, str]:
    found = {}
    for package in importlib.metadata.distributions():
        name = package.metadata["Name"]
        if name:
            found[re.sub(r"[-_.]+", "-", name).lower()] = package.version
    return dict(sorted(found.items()))


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip()[:400] if found else platform.processor()
