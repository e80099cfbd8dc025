"""What a run was really made with: its recipe with nothing left open, and the shape of its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmos.lab.recipes.load import dump_for_others
from llmos.lab.recipes.schema import Recipe

RESOLVED = "recipe.resolved.yaml"
_HEAD = "# recipe.yaml with every default filled in and every revision pinned, as the run used it.\n"
# Our word: transformers' for all families.
_SHAPE = {
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "vocabulary": "vocab_size",
    "positions": "max_position_embeddings",
}


def pinned(full: Recipe, base: Mapping[str, Any] | None, sources: Sequence[Mapping[str, Any]]) -> Recipe:
    """A resolved recipe at the commits that were read; `sources` are the facts of its data, in order."""
    copy = full.model_copy(deep=True)
    for source, facts in zip([*copy.data.sources, *copy.data.validation], sources, strict=True):
        source.revision = facts.get("revision") or source.revision
    if base is not None:
        copy.model.revision = base.get("revision") or copy.model.revision
    return copy


def resolved_text(recipe: Recipe) -> str:
    """YAML of a resolved recipe, which is a recipe itself; it names no folder of this machine."""
    return _HEAD + dump_for_others(recipe, whole=True)


def shape_of(model: Any) -> dict[str, Any]:
    """Family, width, layers, heads, vocabulary and positions; what a family has not is left out."""
    config = model.config
    found = {name: getattr(config, field, None) for name, field in _SHAPE.items()}
    return {"family": config.model_type} | {name: n for name, n in found.items() if n is not None}


def settings_lines(recipe: Recipe, shape: Mapping[str, Any], *, rows: int, precision: str) -> list[str]:
    """The hyper-parameters that decide most, for people; `recipe` is resolved."""
    optimiser, training = recipe.optimiser, recipe.training
    rate = f"learning rate {optimiser.learning_rate:g}"
    if optimiser.name == "muon":
        rate += f" ({optimiser.muon_learning_rate:g} for matrices)"
    moves = [
        optimiser.name, rate, recipe.schedule.name, f"weight decay {optimiser.weight_decay:g}",
        f"betas {optimiser.beta1:g} and {optimiser.beta2:g}", f"gradients clipped at {optimiser.clip:g}",
    ]  # fmt: skip
    sizes = [f"{name} {n:,}" for name, n in shape.items() if isinstance(n, int)]
    lines = [
        f"Model: {', '.join([str(shape['family']), *sizes])}",
        f"Optimiser: {', '.join(moves)}",
        f"Batch: {rows:,} rows of at most {training.sequence_length:,} tokens, {precision}, "
        f"seed {training.seed}",
    ]
    if lora := recipe.lora:
        dora = ", DoRA" if lora.dora else ""
        lines.append(f"LoRA: rank {lora.rank}, alpha {lora.alpha:g}, dropout {lora.dropout:g}{dora}")
    return [*lines, f"All of them: [{RESOLVED}]({RESOLVED})"]
