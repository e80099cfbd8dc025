"""The end of a run: files that load anywhere, a card, and a commit."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from llmos.lab.events import Reporter
from llmos.lab.recipes.schema import Recipe
from llmos.lab.train.adapters import merge


def finish(run: Any, result: Any, reporter: Reporter, *, started_at: datetime) -> None:
    """Save model, tokenizer, metrics and card in the output folder; push where the recipe says so."""
    from llmos.lab.train.run import machine, write_json

    if run.recipe.lora:
        run.model = merge(run.model, run.output) if run.recipe.lora.merge else run.model
    save_model(run.model, run.tokenizer, run.output)
    facts = result.to_json() | {"machine": machine(started_at), "sources": run.corpus.sources}
    write_json(run.output / "metrics.json", facts)
    write_card(run, result, reporter, facts)
    if run.recipe.push.repo:
        reporter.phase("push")
        result.revision = push(run.recipe, run.output)
        reporter.say(f"Pushed to {run.recipe.push.repo} as {result.revision[:12]}.")


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Safetensors, configuration and tokenizer; no pickle is left beside them."""
    model.save_pretrained(str(folder), safe_serialization=True)
    tokenizer.save_pretrained(str(folder))
    (folder / "training_args.bin").unlink(missing_ok=True)


def write_card(run: Any, result: Any, reporter: Reporter, facts: dict[str, Any]) -> None:
    """README.md from the facts of the run."""


def push(recipe: Recipe, folder: Path) -> str:
    """Commit the finished model to `push.repo`; checkpoints and caches stay here. Gives the commit."""
    from llmos.client.hub import Hub

    assert recipe.push.repo is not None
    hub = Hub()
    hub.create_repo(recipe.push.repo, "model", private=recipe.push.private)
    if recipe.push.branch != "main":
        hub.create_branch(recipe.push.repo, recipe.push.branch)
    files: dict[str, Path | bytes] = {
        str(path.relative_to(folder)): path
        for path in sorted(folder.rglob("*"))
        if is_published(path, folder)
    }
    return hub.commit(
        recipe.push.repo, files, f"Train {recipe.name or recipe.objective}", branch=recipe.push.branch
    )


def is_published(path: Path, folder: Path) -> bool:
    """Results, but no checkpoints, no half-written files and nothing pickled."""
    parts = path.relative_to(folder).parts
    hidden = any(part.startswith((".", "checkpoint-")) for part in parts)
    return path.is_file() and not hidden and path.suffix not in (".part", ".bin", ".pt", ".pth")


def forget_checkpoints(folder: Path) -> None:
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path, ignore_errors=True)
