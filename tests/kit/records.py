"""Records for tests: a small model folder, data, samples, and a signed and logged bundle of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from llmos.records import digests, merkle
from llmos.records.bundle import STATEMENT_FILE, Outcome, sign_bundle, write_bundle, write_log_proof
from llmos.records.envelope import sign_tree_head
from llmos.records.facts import benchmark_facts, environment_facts, fewshot_facts, model_facts
from llmos.records.keys import PrivateKey, create_private_key
from llmos.records.resample import DRAWN_BY, interval
from llmos.wire.evaluation import LogProof, MetricValue, RunSettings, Sample, SampleCounts
from llmos.wire.evaluation_recipe import EvaluationRecipe, Places

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIGNATURE = f"accuracy|agg:mean|{DRAWN_BY}|v:1"
TASK = {"id": "cloze", "kind": "multiple_choice", "prompt": "{{question}}\n", "metrics": ["accuracy"]}


EXAMPLES = [{"id": n, "question": f"例 {n}", "choices": ["a", "b"], "answer": 0} for n in range(7)]


@dataclass(frozen=True)
class MadeRecord:
    """A bundle with all it was made from, and the key that signed it."""

    bundle: Path
    model: Path
    data: Path
    key: PrivateKey


def make_model(folder: Path, *, weights: bytes = b"w" * 1000) -> Path:
    """A folder with the names of a model's files; nothing in it computes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": "</s>", "chat_template": template})
    )
    (folder / "README.md").write_text("A card decides nothing.\n")
    return folder


def make_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    random = Random(seed)
    return [
        {
            "id": n,
            "question": f"问 {n}: {random.random()}",
            "choices": ["a", "b"],
            "answer": random.randrange(2),
        }
        for n in range(count)
    ]


def make_samples(rows: list[dict[str, Any]], seed: int = 0) -> list[Sample]:
    random = Random(seed)
    samples = []
    for row in rows:
        prompt, logprobs = f"{row['question']}\n", [-random.random(), -random.random()]
        chosen = int(logprobs[1] > logprobs[0])
        samples.append(
            Sample(
                id=f"test:{row['id']}",
                row_sha256=digests.row_digest(row),
                prompt_sha256=digests.prompt_digest(prompt),
                prompt=prompt,
                choices=row["choices"],
                target=json.dumps(row["answer"]),
                logprobs=logprobs,
                chosen=chosen,
                scores=json.dumps({"accuracy": float(chosen == row["answer"])}),
                fewshot_ids=[f"train:{(row['id'] + n) % 7}" for n in range(2)],
                tokens=3,
            )
        )
    return samples


def make_record(
    folder: Path,
    *,
    count: int = 12,
    seed: int = 0,
    key: PrivateKey | None = None,
    weights: bytes = b"w" * 1000,
    signature: str = SIGNATURE,
) -> MadeRecord:
    """A signed bundle at place 2 of a log of 5."""
    rows = make_rows(count, seed)
    model = make_model(folder / "model", weights=weights)
    data, bundle = folder / "data", folder / "bundle"
    data.mkdir()
    for name, part in (("test", rows), ("train", EXAMPLES)):
        lines = [json.dumps(row, ensure_ascii=False) for row in part]
        (data / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    places = Places(model=str(model), data=str(data))
    write_unsigned(bundle, model, rows, places=places, seed=seed, signature=signature)
    signer = key or create_private_key()
    sign_bundle(bundle, signer)
    log_bundle(bundle, signer)
    return MadeRecord(bundle, model, data, signer)


def write_unsigned(
    bundle: Path,
    model: Path,
    rows: list[dict[str, Any]],
    *,
    places: Places | None = None,
    seed: int = 0,
    signature: str = SIGNATURE,
) -> None:
    samples = make_samples(rows, seed)
    shown = {f"train:{n}": digests.row_digest(row) for n, row in enumerate(EXAMPLES)}
    scores = [json.loads(sample.scores) for sample in samples]
    low, high = interval("accuracy", "mean", scores, seed=17)
    accuracy = MetricValue(
        name="accuracy",
        value=sum(row["accuracy"] for row in scores) / len(rows),
        low=low,
        high=high,
        n=len(rows),
        signature=signature,
    )
    outcome = Outcome(
        model=model_facts(model, name="ada/tiny-llm", parameters=1000),
        benchmark=benchmark_facts(
            samples, TASK, name="ada/cloze", task_id="cloze", split="test", language="zh"
        ),
        fewshot=fewshot_facts(samples, count=2, seed=17, rows=shown),
        settings=RunSettings(seed=17, batch_size=4, threads=1),
        metrics=[accuracy],
        counts=SampleCounts(samples=len(rows)),
        environment=environment_facts({"torch": "2.13.0", "numpy": "2.4.6"}),
        created_at=AT,
    )
    value = {"model": {"path": str(model)}, "benchmark": {"path": "data", "task_id": "cloze"}, "fewshot": 2}
    recipe = EvaluationRecipe.model_validate({"evaluation": {**value, "seed": 17}})
    write_bundle(bundle, outcome, samples, recipe=recipe, places=places)


def log_bundle(bundle: Path, key: PrivateKey, *, index: int = 2, size: int = 5) -> None:
    """Put the bundle into a log of `size` entries, of which it is number `index`."""
    leaves = [merkle.leaf_hash(b"another record %d" % n) for n in range(size)]
    leaves[index] = merkle.leaf_hash((bundle / STATEMENT_FILE).read_bytes())
    root = merkle.root(leaves)
    proof = [step.hex() for step in merkle.inclusion_proof(leaves, index)]
    head = sign_tree_head(root, size, AT, key)
    write_log_proof(
        bundle,
        LogProof(
            log_id=key.public.keyid,
            leaf_index=index,
            tree_size=size,
            root=root.hex(),
            proof=proof,
            tree_head=head,
        ),
    )
