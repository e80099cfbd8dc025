"""What people and machines get wrong: a sentence that says what to do, an exit code, nothing spoilt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from llmos.lab.__main__ import main
from llmos.lab.events import Reporter
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.schema import Recipe
from llmos.lab.train.checkpoint import newest_checkpoint
from llmos.lab.train.run import execute, prepare

# TRL and transformers tell each other of names to come.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(autouse=True)
def lab_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path_factory.getbasetemp() / "lab-cache"))


@pytest.mark.parametrize(
    ("file", "content", "recipe", "words"),
    [
        ("a.jsonl", b'{"body": "one", "id": 1}\n', "", 'has no column "text"; its columns are: body, id'),
        ("a.txt", b"", "", "is empty"),
        ("a.txt", b"\x7fELF\x02\x01\x00\x00\x00\x00", "", "is a binary file"),
        ("b.txt", b"x", "", '"a.*" matches no file'),
        ("a.txt", b"words", "trainig: {seed: 1}", "did you mean training?"),
        ("a.txt", b"words " * 500, "training: {sequence_length: 4096}\nmodel: {preset: nano, overrides: "
         "{max_position_embeddings: 32}}", "longer than the model's 32 positions"),
    ],
)  # fmt: skip
def test_bad_input_ends_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, content: bytes, recipe: str, words: str
) -> None:
    (tmp_path / file).write_bytes(content)
    path = tmp_path / "recipe.yaml"
    path.write_text(f'objective: clm\ndata: {{sources: [{{files: ["a.*"]}}]}}\n{recipe}\n')
    code = main(["run", str(path), "--output", str(tmp_path / "out"), "--json"])
    told = capsys.readouterr()
    assert code in (1, 2)
    assert words in told.err
    assert words in json.loads(told.out.splitlines()[-1])["error"]
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_a_full_disk_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "recipe.yaml.part").symlink_to("/dev/full")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        'objective: clm\ndata: {sources: [{files: ["sample:english.txt"]}], max_chars: 9000}\n'
        "model: {preset: nano}\ntraining: {max_steps: 1, sequence_length: 32}\n"
    )
    assert main(["run", str(path), "--output", str(out), "--json"]) == 1
    assert "no room left on the disk" in capsys.readouterr().err


def preferences(**training: Any) -> Recipe:
    options = {"max_steps": 3, "sequence_length": 64, "batch_tokens": 256, "threads": 1} | training
    return parse_recipe(
        f"""
objective: dpo
data: {{sources: [{{files: ["sample:preferences.jsonl"]}}], held_out: 0.1}}
model: {{preset: nano}}
training: {json.dumps(options)}
evaluation: {{samples: 0, max_examples: 2}}
"""
    )


def weights(model: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def test_a_gradient_that_is_no_number_spoils_nothing(tmp_path: Path) -> None:
    """The first loss is 0.69 whatever beta is; its gradient is not."""
    with Reporter(quiet=True) as reporter:
        run = prepare(preferences(beta=1e38), tmp_path, reporter)
        before = weights(run.model)
        result = execute(run, reporter)
    assert "not a number at step 1. The weights are those of step 0" in result.stopped
    after = weights(run.model)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    with Reporter(quiet=True) as reporter:
        run = prepare(preferences(), tmp_path, reporter)

        def poison(module: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
            return out * float("nan") if steps_done(reporter) >= 2 and torch.is_grad_enabled() else out

        run.model.model.embed_tokens.register_forward_hook(poison)
        result = execute(run, reporter)
    assert "not a number at step 3" in result.stopped
    kept = newest_checkpoint(tmp_path)
    assert kept is not None
    assert kept.name == "checkpoint-2"
    model = AutoModelForCausalLM.from_pretrained(str(kept))
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def steps_done(reporter: Reporter) -> int:
    return max((step for step, name, _ in reporter.history if name == "train/loss"), default=0)


def test_too_little_memory_for_pairs_halves_what_is_computed_at_once(tmp_path: Path) -> None:
    with Reporter(events=str(tmp_path / "events"), quiet=True) as reporter:
        run = prepare(preferences(batch_tokens=512), tmp_path, reporter)
        seen: list[int] = []

        def full(module: Any, args: Any, kwargs: Any) -> None:
            rows = len(kwargs["input_ids"])
            if rows > 4:
                raise torch.OutOfMemoryError("out of memory")
            seen.append(rows)

        run.model.model.register_forward_pre_hook(full, with_kwargs=True)
        result = execute(run, reporter)
    assert (result.steps, result.stopped) == (3, "")
    assert max(seen) == 4
    assert "Memory ended: 2 rows at a time" in (tmp_path / "events").read_text()
