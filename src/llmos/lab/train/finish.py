"""The end of a run: files that load anywhere, a card, and a commit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.lab.events import Reporter
from llmos.lab.inputs import is_laid_out
from llmos.lab.outputs.card import CardFacts, write_card
from llmos.lab.outputs.energy import Energy
from llmos.lab.outputs.push import CheckpointPusher, push_result
from llmos.lab.outputs.settings import RESOLVED, pinned, resolved_text, settings_lines, shape_of
from llmos.lab.recipes.load import dump_for_others, for_others
from llmos.lab.recipes.schema import Push, Recipe
from llmos.lab.train.adapters import merge, name_base
from llmos.lab.train.device import hardware

if TYPE_CHECKING:
    from llmos.lab.train.run import Result, Run


def finish(
    run: Run, result: Result, reporter: Reporter, *, started_at: datetime, energy: Energy | None
) -> None:
    """Save model, tokenizer, metrics and card in the output folder; push where the recipe says so."""
    from llmos.lab.train.run import write_json

    if run.recipe.lora:
        run.model = merge(run.model, run.output) if run.recipe.lora.merge else run.model
    save_model(run.model, run.tokenizer, run.output)
    if run.base:
        name_base(run.output, run.base["name"])
    machine = hardware() | {
        "started_at": started_at.isoformat(),
        "finished_at": datetime.now(UTC).isoformat(),
    }
    sources = run.corpus.sources
    used = {"energy": energy.to_json() if energy else None, "data": _data(run)}
    made = {"shape": shape_of(run.model), "resolved": for_others(_pinned(run)).model_dump(mode="json")}
    write_json(
        run.output / "metrics.json",
        result.for_others() | {"machine": machine, "sources": sources} | used | made,
    )
    write_card(run.output, _card(run, result, machine, energy), reporter.history)
    reporter.end_curves()
    push = run.recipe.push
    if not is_laid_out():
        reporter.say(f"The model lies in {run.output}. How to use it stands in its README.md.")
    if push.repo and not is_laid_out():
        from llmos.client.hub import Hub

        reporter.phase("push")
        message = f"Train {run.recipe.name}"
        hub = Hub()
        result.revision = push_result(
            hub, push.repo, run.output, message, private=push.private, branch=push.branch
        )
        reporter.say(f"Pushed as {result.revision[:12]} to {hub.api.endpoint}/{push.repo}")


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Safetensors, configuration and tokenizer; no pickle is left beside them."""
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    (folder / "training_args.bin").unlink(missing_ok=True)


def _pinned(run: Run) -> Recipe:
    return pinned(run.recipe, run.base, run.corpus.sources)


def _data(run: Run) -> dict[str, Any]:
    """What was read, and what the tokenizer made of it."""
    return run.corpus.statistics.to_json() | {"spelling": run.spelt.to_json() if run.spelt else None}


def _card(run: Run, result: Result, machine: dict[str, Any], energy: Energy | None) -> CardFacts:
    from llmos.lab.samples import LICENCES

    return CardFacts(
        name=run.recipe.push.repo or run.recipe.name,
        objective=run.recipe.objective,
        recipe=dump_for_others(run.written),
        sources=run.corpus.sources,
        parameters=result.parameters,
        base=run.base,
        trained_parameters=result.trained_parameters,
        statistics=_data(run),
        steps=result.steps,
        tokens=result.tokens,
        seconds=result.seconds,
        metrics=result.metrics,
        samples=result.samples,
        machine=machine,
        energy=energy.to_json() if energy else None,
        licence=run.recipe.push.licence,
        stopped=result.stopped,
        best_step=result.best_step,
        file_licences=LICENCES,
        settings=settings_lines(
            run.recipe, shape_of(run.model), rows=result.rows_per_step, precision=result.precision
        ),
    )


@contextmanager
def pushing_checkpoints(push: Push, reporter: Reporter, base: dict[str, Any] | None = None) -> Iterator[None]:
    """While this lasts, checkpoints are committed to their branch; a runner does it for its jobs."""
    if not push.repo or not push.checkpoints_branch or is_laid_out():
        yield
        return
    from llmos.client.hub import Hub

    pusher = CheckpointPusher(Hub(), push.repo, branch=push.checkpoints_branch, private=push.private)

    def push_checkpoint(folder: Path, step: int) -> None:
        if base:
            name_base(folder, base["name"])
        pusher.push(folder, step)

    with pusher:
        reporter.on_checkpoint = push_checkpoint
        yield
    reporter.on_checkpoint = None
    for failure in pusher.failures:
        reporter.say(f"A checkpoint was not pushed: {failure}")


def write_recipe(run: Run) -> None:
    """The recipe as it was written and as it was used, beside what it makes; no folder is named."""
    for name, text in (
        ("recipe.yaml", dump_for_others(run.written)),
        (RESOLVED, resolved_text(_pinned(run))),
    ):
        part = run.output / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        os.replace(part, run.output / name)
