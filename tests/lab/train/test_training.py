"""The trainer: every objective and family at tiny size, against oracles, and through faults."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import math
import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llmos.core.errors import LlmosError
from llmos.lab.events import Reporter
from llmos.lab.models.build import build_model
from llmos.lab.models.heads import find_head
from llmos.lab.objectives.base import Rows
from llmos.lab.objectives.language import NextToken, unigram_loss
from llmos.lab.outputs.push import is_pickle, published_files
from llmos.lab.recipes.load import parse_recipe
from llmos.lab.recipes.resolve import resolve
from llmos.lab.recipes.schema import TUNED_BY_TRL, Family, Objective, Recipe, Schedule, TrainTokenizer
from llmos.lab.samples import sample
from llmos.lab.train import plain
from llmos.lab.train.checkpoint import newest_checkpoint
from llmos.lab.train.errors import TrainingStopped
from llmos.lab.train.losses import projected_cross_entropy
from llmos.lab.train.run import Run, make_trainer, prepare, train
from llmos.lab.train.schedule import rate
from llmos.lab.train.state_files import load_tree, random_state, save_tree, set_random_state
from llmos.lab.train.steps import Steps

DATA = {
    "clm": "english.txt",
    "mlm": "english.txt",
    "seq2seq": "chinese.txt",
    "classify": "centuries.jsonl",
    "tag": "tags.jsonl",
    "qa": "questions.jsonl",
    "summarize": "headings.jsonl",
    "translate": "pairs.jsonl",
}


# A model of several languages reads them side by side.
FILES = {"xlm-roberta": ["english.txt", "chinese.txt"]}


def recipe_of(objective: str, family: str = "", *, more: str = "", **training: Any) -> Recipe:
    files = [str(sample(name)) for name in FILES.get(family, [DATA[objective]])]
    options = {"max_steps": 4, "sequence_length": 64, "batch_tokens": 512, "threads": 1} | training
    return parse_recipe(
        f"""
objective: {objective}
data:
  max_chars: 30000
  held_out: 0.1
  sources: [{{files: {json.dumps(files)}, unit: paragraph}}]
model: {{preset: nano{f", family: {family}" if family else ""}}}
training: {json.dumps(options)}
evaluation: {{samples: 1, sample_tokens: 4, max_examples: 8}}
{more}
"""
    )


@pytest.fixture(autouse=True)
def lab_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path_factory.getbasetemp() / "lab-cache"))


@pytest.fixture
def quiet() -> Any:
    with Reporter(quiet=True) as reporter:
        yield reporter


MATRIX = [
    ("clm", "gpt2"),
    ("clm", "llama"),
    ("clm", "qwen"),
    ("mlm", "bert"),
    ("mlm", "roberta"),
    ("mlm", "xlm-roberta"),
    ("mlm", "albert"),
    ("seq2seq", "t5"),
    ("seq2seq", "bart"),
    ("classify", "bert"),
    ("classify", "llama"),
    ("tag", "roberta"),
    ("qa", "bert"),
    ("summarize", "t5"),
    ("translate", "bart"),
]


def test_no_objective_and_no_family_is_left_out() -> None:
    """All that can go together is in test_matrix, what TRL trains in test_tuning."""
    assert {objective for objective, _ in MATRIX} | {*TUNED_BY_TRL} == {*get_args(Objective)}
    assert {family for _, family in MATRIX} == {*get_args(Family)}


@pytest.mark.parametrize(("objective", "family"), MATRIX)
def test_objective_and_family(objective: str, family: str, tmp_path: Path, quiet: Reporter) -> None:
    pairs = {("mlm", "bert"): "next", ("mlm", "albert"): "order"}.get((objective, family), "none")
    more = f"denoising: {{sentence_pairs: {pairs}}}"
    if objective == "classify":
        more += "\noptimiser: {learning_rate: 0.0005}"  # four steps are too few to come back from a wild one
    result = train(recipe_of(objective, family, more=more), tmp_path, quiet)
    assert result.steps == 4
    losses = [value for _, name, value in quiet.history if name == "train/loss"]
    evaluated = [value for _, name, value in quiet.history if name == "eval/loss"]
    assert evaluated[-1] < losses[0], (losses, evaluated)
    assert (tmp_path / "model.safetensors").exists()
    assert "training_args.bin" not in {path.name for path in tmp_path.rglob("*")}
    assert AutoTokenizer.from_pretrained(str(tmp_path)).pad_token_id is not None


def test_data_that_lie_sorted_are_looked_at_throughout(tmp_path: Path, quiet: Reporter) -> None:
    """All of one label before all of the other, as where each has a file of its own."""
    rows = [{"text": f"{word} number {n}", "label": word} for word in ("ham", "spam") for n in range(60)]
    path = tmp_path / "mails.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = recipe_of("classify")
    recipe.data.sources[0].files, recipe.data.held_out = [str(path)], 0.4
    recipe.data.cleaning.dedup = "none"
    found = train(recipe, tmp_path / "out", quiet).metrics
    assert 0.2 < found["majority_accuracy"] < 0.8
    assert found["tfidf_accuracy_low"] <= found["tfidf_accuracy"] == 1.0
    assert "TF-IDF with logistic regression" in (tmp_path / "out" / "README.md").read_text()


def test_a_finished_run_loads_and_tells_its_story(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    output = tmp_path / "out"
    with Reporter(events=str(events), quiet=True) as reporter:
        result = train(recipe_of("clm", more="checkpoints: {every_steps: 2}"), output, reporter)
    model = AutoModelForCausalLM.from_pretrained(str(output))
    assert sum(p.numel() for p in model.parameters()) == result.parameters
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert {"log", "phase", "metric", "progress", "checkpoint"} <= {event["kind"] for event in told}
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["metrics"]["bits_per_byte"] > 0
    found = metrics["metrics"]
    for name in ("loss", "perplexity", "bits_per_byte"):
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
    card = (output / "README.md").read_text()
    assert f"| bits per byte | {found['bits_per_byte']:.4g} | {found['bits_per_byte_low']:.4g} to" in card
    assert "objective: clm" in card
    assert list((output / "runs").glob("events.out.tfevents.*"))


# Oracles


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch, Reporter(quiet=True) as reporter:
        patch.setenv("LLMOS_LAB_CACHE", str(base / "lab-cache"))
        # Compared with other ways to compute the same, so without bf16, whatever the machine knows.
        return prepare(recipe_of("clm", "llama", max_steps=3, precision="fp32"), base / "oracle", reporter)


def objective_of(run: Run) -> NextToken:
    with Reporter(quiet=True) as reporter:
        trainer, _ = make_trainer(dataclasses.replace(run, model=copy.deepcopy(run.model)), reporter)
    assert isinstance(trainer.objective, NextToken)
    return trainer.objective


def test_the_trainer_does_what_the_plain_loop_does(run: Run, tmp_path: Path) -> None:
    """Same rows, same losses, same weights: with micro-batches and a fused loss on one side only."""
    ours, theirs = copy.deepcopy(run.model), copy.deepcopy(run.model)
    recipe = run.recipe.model_copy(deep=True)
    recipe.training.micro_batch = 3
    with Reporter(quiet=True) as reporter:
        mine = dataclasses.replace(run, model=ours, recipe=recipe, output=tmp_path)
        trainer, _ = make_trainer(mine, reporter)
        trainer.train()
        losses = [value for _, name, value in reporter.history if name == "train/loss"]
    settings = plain.Settings(
        steps=3, rows_per_step=8, learning_rate=recipe.optimiser.learning_rate or 0, seed=recipe.training.seed
    )
    wanted = plain.train(theirs, objective_of(run), settings)
    assert losses == pytest.approx(wanted, rel=1e-4)
    for (name, one), (_, other) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        # AdamW divides by tiny second moments: rounding shows in single weights, not in sums.
        assert torch.allclose(one, other, atol=2e-3), name
        assert (one - other).norm() <= 1e-3 * (other.norm() + 1e-3), name


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen"])
def test_the_loss_is_that_of_transformers(family: str, run: Run) -> None:
    recipe, _ = resolve(recipe_of("clm", family))
    model = build_model(recipe, run.tokenizer, [])
    model.eval()
    objective = objective_of(run)
    objective.prepare(model)
    ids = torch.from_numpy(np.random.default_rng(0).integers(5, 900, (2, 64)))
    total, count = objective.loss(model, {"input_ids": ids, "labels": ids.clone()})
    theirs = model(input_ids=ids, labels=ids).loss
    assert float(total.detach()) / count == pytest.approx(float(theirs.detach()), rel=1e-5)


@pytest.mark.parametrize(
    ("objective", "family", "pairs"),
    [
        *((objective, family, "none") for objective, family in MATRIX if objective != "clm"),
        ("mlm", "bert", "next"),
        ("mlm", "albert", "order"),
    ],
)
def test_losses_of_other_families_are_those_of_transformers(
    objective: str, family: str, pairs: str, tmp_path: Path, quiet: Reporter
) -> None:
    more = f"denoising: {{sentence_pairs: {pairs}}}"
    run = prepare(recipe_of(objective, family, more=more, precision="fp32"), tmp_path, quiet)
    trainer, _ = make_trainer(run, quiet)
    run.model.eval()
    rows = Rows(trainer.objective, 100, 1)
    batch = trainer.objective.collate([rows[n] for n in range(4)])
    assert ("pair" in batch) == (pairs != "none")
    if "pair" in batch:  # of both kinds, or half of the second loss would not be looked at
        assert {*batch["pair"].tolist()} == {0, 1}
    pair = "next_sentence_label" if pairs == "next" else "sentence_order_label"
    renamed = {"start": "start_positions", "end": "end_positions", "pair": pair}
    inputs = {renamed.get(name, name): value for name, value in batch.items()}
    theirs = run.model(**inputs).loss
    total, count = trainer.objective.loss(run.model, batch)
    assert float(total.detach()) / count == pytest.approx(float(theirs.detach()), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "family"), [("mlm", "bert"), ("seq2seq", "t5"), ("seq2seq", "bart")])
def test_what_is_hidden_is_learnt_by_heart(
    objective: str, family: str, tmp_path: Path, quiet: Reporter
) -> None:
    """One short text over and over: all that is hidden can be known."""
    more = "denoising: {mask_share: 0.15}\noptimiser: {name: muon}"
    recipe = recipe_of(objective, family, more=more, max_steps=120, sequence_length=32, batch_tokens=256)
    recipe.tokenizer.train = TrainTokenizer(type="bpe", vocab_size=400)
    run = prepare(recipe, tmp_path, quiet)
    trainer, _ = make_trainer(run, quiet)
    text = trainer.objective.train[0]
    trainer.objective.train, trainer.objective.held_out = [text] * len(trainer.objective.train), [text] * 8
    trainer.train()
    # Of some six nats; T5 finds out more slowly which span it is at.
    assert trainer.evaluate()["eval_loss"] < (0.9 if family == "t5" else 0.2)


def test_a_new_t5_prefers_no_token(tmp_path: Path, quiet: Reporter) -> None:
    run = prepare(recipe_of("seq2seq", "t5"), tmp_path, quiet)
    trainer, _ = make_trainer(run, quiet)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(math.log(len(run.tokenizer)), rel=0.05)


def test_what_frequencies_alone_would_lose() -> None:
    cache = SimpleNamespace(tokens=np.array([0, 2, 2, 2, 3, 0]), facts={"vocab_size": 5})
    # Smoothed counts of text: 4 of 2, 2 of 3, 1 of 1 and 4; 0 is special, as one of four targets is.
    batch = {"labels": torch.tensor([[2, 3, -100], [0, -100, 2]])}
    found = unigram_loss(cache, iter([batch]), [0])
    words = 2 * math.log(8 / 4) + math.log(8 / 2)
    assert found == pytest.approx((words + 3 * math.log(4 / 3) + math.log(4)) / 4)
    text = {"labels": torch.tensor([[2, 3, 2]])}
    assert unigram_loss(cache, iter([text]), [0]) == pytest.approx(words / 3)


def test_the_fused_loss_has_the_gradients_of_the_plain_one() -> None:
    torch.manual_seed(1)
    hidden, weight, bias = (
        torch.randn(*shape, requires_grad=True) for shape in ((50, 16), (300, 16), (300,))
    )
    targets = torch.randint(0, 300, (50,))
    targets[7] = -100
    total, count = projected_cross_entropy(hidden, weight, targets, bias=bias)
    (total / count).backward()
    fused = [tensor.grad.clone() for tensor in (hidden, weight, bias)]
    for tensor in (hidden, weight, bias):
        tensor.grad = None
    wanted = torch.nn.functional.cross_entropy(hidden @ weight.t() + bias, targets)
    wanted.backward()
    assert float(total.detach()) / count == pytest.approx(float(wanted.detach()), rel=1e-6)
    for mine, tensor in zip(fused, (hidden, weight, bias), strict=True):
        assert torch.allclose(mine, tensor.grad, atol=1e-6)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_documents_in_a_row_do_not_see_each_other(family: str, run: Run) -> None:
    recipe, _ = resolve(recipe_of("clm", family))
    model = build_model(recipe, run.tokenizer, [])
    model.eval()
    head = find_head(model)
    assert head is not None
    one, two = torch.arange(10, 30)[None], torch.arange(50, 90)[None]
    positions = torch.cat([torch.arange(20), torch.arange(40)])[None]
    with torch.no_grad():
        packed, _ = head.body(input_ids=torch.cat([one, two], 1), position_ids=positions)
        alone, _ = head.body(input_ids=two)
    assert torch.allclose(packed[:, 20:], alone, atol=1e-5)


@pytest.mark.parametrize("name", ["cosine", "wsd", "linear", "constant"])
def test_the_rate_rises_and_ends_where_it_should(name: Any) -> None:
    schedule = Schedule(name=name, warmup=0.1, floor=0.1)
    assert rate(schedule, 0.05) == pytest.approx(0.5)
    assert rate(schedule, 0.1) == pytest.approx(1.0)
    assert rate(schedule, 1.0) == pytest.approx(1.0 if name == "constant" else 0.1)
    course = [rate(schedule, n / 100) for n in range(10, 101)]
    assert course == sorted(course, reverse=True)


# Going on


def weights_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_resumed_run_ends_bit_for_bit_the_same(
    optimiser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, an averaged copy and masked tokens: everything drawn at random is in play.

    Here, and on another machine that has nothing but what is published of the checkpoint.
    """
    more = f"optimiser: {{name: {optimiser}}}\ncheckpoints: {{every_steps: 3}}"
    recipe = recipe_of("mlm", "roberta", more=more, max_steps=5, ema=0.9)
    recipe.model.overrides = {"hidden_dropout_prob": 0.1}  # what is drawn at random must go on, too
    with Reporter(quiet=True) as whole:
        train(recipe, tmp_path / "whole", whole)

    class PowerCut(Exception):
        pass

    def cut_after_four(trainer: Any) -> None:
        step = trainer.training_step

        def stop(*args: Any, **kwargs: Any) -> Any:
            if trainer.state.global_step == 4:
                raise PowerCut
            return step(*args, **kwargs)

        trainer.training_step = stop

    with Reporter(quiet=True) as reporter, pytest.raises(PowerCut):
        train(recipe, tmp_path / "cut", reporter, changed=cut_after_four)
    found = newest_checkpoint(tmp_path / "cut")
    assert found is not None
    assert found.name == "checkpoint-3"
    assert not [path.name for path in found.iterdir() if is_pickle(path)]
    for path, file in published_files(found).items():
        (tmp_path / "sent" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, tmp_path / "sent" / path)
    state = json.loads((found / "lab_state.json").read_text())
    state["elapsed_s"], state["course"]["energy"]["kwh"] = 5000.0, 7.0
    (found / "lab_state.json").write_text(json.dumps(state))
    with Reporter(quiet=True) as reporter:
        result = train(recipe, tmp_path / "cut", reporter)
    # What the card tells is of the whole run, not of its last leg.
    assert 5000 < result.seconds < 5600
    used = json.loads((tmp_path / "cut" / "metrics.json").read_text())["energy"]
    assert 7 < used["kwh"] < 7.1
    losses, wanted = ([p for p in one.history if p[1].endswith("loss")] for one in (reporter, whole))
    assert losses == wanted
    assert weights_of(tmp_path / "cut") == weights_of(tmp_path / "whole")
    monkeypatch.setenv("LLMOS_LAB_CACHE", str(tmp_path / "other-cache"))
    with Reporter(quiet=True) as reporter:
        train(recipe, tmp_path / "elsewhere", reporter, resume=tmp_path / "sent")
    assert weights_of(tmp_path / "elsewhere") == weights_of(tmp_path / "whole")


def test_a_state_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, betas=(0.9, 0.95))
    model(torch.ones(3)).sum().backward()
    optimiser.step()
    state = {"optimiser": optimiser.state_dict(), "random": random_state(), "none": None, "inf": float("inf")}
    save_tree(tmp_path / "state.safetensors", state)
    assert not is_pickle(tmp_path / "state.safetensors")
    drawn = torch.rand(3), np.random.rand(3), random.random()
    found = load_tree(tmp_path / "state.safetensors")
    assert found["inf"] == float("inf")
    set_random_state(found["random"])
    again = torch.rand(3), np.random.rand(3), random.random()
    assert [str(one) for one in again] == [str(one) for one in drawn]
    groups = found["optimiser"]["param_groups"]
    assert groups == state["optimiser"]["param_groups"]
    for number, one in state["optimiser"]["state"].items():
        assert {key: value.tolist() for key, value in one.items()} == {
            key: value.tolist() for key, value in found["optimiser"]["state"][number].items()
        }
    with pytest.raises(TypeError, match="cannot hold a set"):
        save_tree(tmp_path / "no.safetensors", {"a": {1}})


def test_a_checkpoint_cut_short_is_not_gone_on_from(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-9").mkdir()
    assert newest_checkpoint(tmp_path) is None


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path, quiet: Reporter) -> None:
    train(recipe_of("clm", more="checkpoints: {every_steps: 2}"), tmp_path, quiet)
    other = recipe_of("clm", more="checkpoints: {every_steps: 2}", batch_tokens=256)
    with pytest.raises(TrainingStopped, match="written for"):
        train(other, tmp_path, quiet)


# Faults


def test_a_loss_that_is_no_number_stops_the_run_and_spoils_nothing(tmp_path: Path, quiet: Reporter) -> None:
    def poison(trainer: Any) -> None:
        loss = trainer.objective.loss

        def poisoned(model: Any, batch: Any) -> Any:
            total, count = loss(model, batch)
            return total * (float("nan") if trainer.state.global_step == 2 else 1.0), count

        trainer.steps._loss = poisoned

    with pytest.raises(TrainingStopped, match="not a number at step 3"):
        train(recipe_of("clm"), tmp_path, quiet, changed=poison)
    kept = newest_checkpoint(tmp_path)
    assert kept is not None
    assert kept.name == "checkpoint-2"
    model = AutoModelForCausalLM.from_pretrained(str(tmp_path))
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    assert "not a number" in (tmp_path / "README.md").read_text()


def test_too_little_memory_halves_the_micro_batch_and_changes_nothing_else(
    tmp_path: Path, quiet: Reporter
) -> None:
    recipe = recipe_of("clm", precision="fp32")
    train(recipe, tmp_path / "roomy", quiet)

    def shrink(trainer: Any) -> None:
        def full(module: Any, args: Any, kwargs: Any) -> None:
            if len(kwargs["input_ids"]) > 2:
                raise torch.OutOfMemoryError("out of memory")

        trainer.model.model.register_forward_pre_hook(full, with_kwargs=True)

    train(recipe, tmp_path / "tight", quiet, changed=shrink)
    tight, roomy = (AutoModelForCausalLM.from_pretrained(str(tmp_path / n)) for n in ("tight", "roomy"))
    for one, other in zip(tight.parameters(), roomy.parameters(), strict=True):
        assert (one - other).norm() <= 1e-3 * (other.norm() + 1e-3)


@pytest.mark.slow
# The compiler's own: old names of torch, and a look at gradients that it does not need.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore:The .grad attribute:UserWarning")
def test_compiled_layers_learn_the_same(tmp_path: Path, quiet: Reporter) -> None:
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler (apt-get install g++)")
    recipe = recipe_of("clm", "llama", max_steps=3, precision="fp32", compile=True)
    train(recipe, tmp_path / "compiled", quiet)
    losses = [value for _, name, value in quiet.history if name == "train/loss"]
    train(recipe_of("clm", "llama", max_steps=3, precision="fp32"), tmp_path / "plain", quiet)
    plain = [value for _, name, value in quiet.history if name == "train/loss"]
    assert losses == pytest.approx(plain, rel=1e-4)


def test_without_a_compiler_compile_is_refused(
    tmp_path: Path, quiet: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(LlmosError, match="apt-get install"):
        train(recipe_of("clm", compile=True), tmp_path, quiet)


def test_fp16_is_refused_where_it_would_train_badly(tmp_path: Path, quiet: Reporter) -> None:
    with pytest.raises(LlmosError, match="fp16 needs a graphics card"):
        train(recipe_of("clm", precision="fp16"), tmp_path, quiet)


def test_an_overflow_of_fp16_is_done_again_at_a_smaller_scale(run: Run, tmp_path: Path) -> None:
    """Overflow is played by a hook: what matters is that step, weights and scale come out right."""
    with Reporter(quiet=True) as reporter:
        mine = dataclasses.replace(run, model=copy.deepcopy(run.model), output=tmp_path)
        trainer, _ = make_trainer(mine, reporter)
        rows: Any = trainer.train_dataset
        batch = trainer.objective.collate([rows[n] for n in range(4)])
        wanted, count = trainer.steps.gradients(trainer.model, batch, 0)
        norm = trainer.steps.last_norm
        trainer.model.zero_grad()
        steps = Steps(trainer.objective.loss, micro_batch=2, clip=1.0, precision="fp16", say=reporter.say)
        steps._autocast = lambda _: contextlib.nullcontext()  # type: ignore[method-assign]
        hook = trainer.model.lm_head.weight.register_hook(
            lambda grad: grad * (float("inf") if steps.state_dict()["scale"] > 4 else 1.0)
        )
        loss, n = steps.gradients(trainer.model, batch, 0)
        hook.remove()
        assert (n, float(loss)) == (count, pytest.approx(float(wanted), rel=1e-5))
        assert steps.last_norm == pytest.approx(norm, rel=1e-4)
        assert steps.state_dict()["scale"] == 4.0
        again = Steps(trainer.objective.loss, micro_batch=2, clip=1.0, precision="fp16", say=reporter.say)
        again.load_state_dict(steps.state_dict())
        assert again.state_dict() == steps.state_dict()


def test_a_row_that_never_fits_is_said(tmp_path: Path, quiet: Reporter) -> None:
    def never(trainer: Any) -> None:
        def full(*_: Any) -> None:
            raise torch.OutOfMemoryError("out of memory")

        trainer.model.model.register_forward_pre_hook(full)

    recipe = recipe_of("clm")
    recipe.evaluation.samples = 0
    with pytest.raises(LlmosError, match="not enough memory for one row"):
        train(recipe, tmp_path, quiet, changed=never)


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(tmp_path: Path, quiet: Reporter) -> None:
    def fill_disk(trainer: Any) -> None:
        def full(folder: Path) -> None:
            raise OSError(28, "No space left on device")

        trainer.save_more = full

    result = train(recipe_of("clm", more="checkpoints: {every_steps: 2}"), tmp_path, quiet, changed=fill_disk)
    assert result.steps == 4
    assert newest_checkpoint(tmp_path) is None


def test_rows_longer_than_the_base_are_refused(tmp_path: Path, quiet: Reporter) -> None:
    train(recipe_of("clm"), tmp_path / "base", quiet)
    recipe = recipe_of("clm", sequence_length=4096)
    recipe.model.preset = "tiny"
    recipe.model.base = str(tmp_path / "base")
    with pytest.raises(LlmosError, match="longer than the model's 64 positions"):
        train(recipe, tmp_path / "long", quiet)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("model: {preset: nano, overrides: {hiden_size: 4}}", "has no such field"),
        ("model: {base: ./nowhere}", "no folder here"),
        ("tokenizer: {train: {vocab_size: 100}}", "too small"),
    ],
)
def test_what_cannot_be_made_is_named(more: str, words: str, tmp_path: Path, quiet: Reporter) -> None:
    text = f'objective: clm\ndata: {{sources: [{{files: ["{sample("english.txt")}"]}}]}}\n{more}\n'
    with pytest.raises(LlmosError, match=words):
        train(parse_recipe(text), tmp_path, quiet)


def test_a_time_limit_ends_the_run(tmp_path: Path, quiet: Reporter) -> None:
    recipe = recipe_of("clm", max_steps=None, max_minutes=0.01)
    recipe.training.max_steps = None
    result = train(recipe, tmp_path, quiet)
    assert 1 <= result.steps < 1000
