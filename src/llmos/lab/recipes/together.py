"""What of a recipe does not go together. An option that would do nothing is refused, not ignored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos.lab.recipes.schema import Recipe


def check_together(recipe: Recipe) -> None:
    """Raises ValueError with a sentence that names the field."""
    for found in (*_model(recipe), *_adapter(recipe), *_parts(recipe), *_tuning(recipe), *_rows(recipe)):
        raise ValueError(found)


def _model(recipe: Recipe) -> Iterator[str]:
    from llmos.lab.recipes.schema import FAMILY_OF

    model, wanted = recipe.model, FAMILY_OF[recipe.objective]
    if recipe.lora and not model.base:
        yield "lora needs model.base: there is nothing to adapt in a new model"
    if model.base and model.family:
        yield "model.family is for new models; model.base brings its own"
    if model.family and model.family not in wanted:
        yield f"objective {recipe.objective} needs a family of {', '.join(wanted)}, not {model.family}"


def _adapter(recipe: Recipe) -> Iterator[str]:
    from llmos.lab.recipes.schema import QUANTIZED

    if not recipe.lora or not recipe.lora.quantize:
        return
    if recipe.objective not in QUANTIZED:
        yield (
            f"lora.quantize is for {', '.join(QUANTIZED)}: the new head that {recipe.objective} trains "
            "cannot be kept in four bits. Leave lora.quantize out"
        )
    if recipe.model.gguf_file:
        yield (
            "lora.quantize needs a base in safetensors, not model.gguf_file, whose weights were rounded "
            "in another way. Name the model the file was made from"
        )


def _parts(recipe: Recipe) -> Iterator[str]:
    from llmos.lab.recipes.schema import TUNED_BY_TRL

    if recipe.training.distributed != "fsdp":
        return
    refused = {
        f"objective {recipe.objective}": recipe.objective in TUNED_BY_TRL,
        "optimiser.name muon": recipe.optimiser.name == "muon",
        "training.ema": recipe.training.ema > 0,
        "evaluation.patience": recipe.evaluation.patience is not None,
        "lora": recipe.lora is not None,
    }
    for name in (name for name, is_asked in refused.items() if is_asked):
        yield f"training.distributed fsdp does not go with {name}: that needs whole weights. Use ddp."


def _tuning(recipe: Recipe) -> Iterator[str]:
    """Options of our own trainer that TRL's have not."""
    from llmos.lab.recipes.schema import TUNED_BY_TRL

    if recipe.objective not in TUNED_BY_TRL:
        return
    if recipe.training.ema:
        yield f"training.ema: {recipe.objective} keeps no averaged copy of the weights. Leave it out"
    if recipe.training.compile:
        yield (
            f"training.compile: the rows of {recipe.objective} differ in length, and each length would be "
            "compiled anew. Leave it out"
        )


def _rows(recipe: Recipe) -> Iterator[str]:
    """How rows are filled, and what becomes of examples that are too long."""
    from llmos.lab.recipes.schema import PRETRAINING

    name, data, longer = recipe.objective, recipe.data, recipe.data.longer
    if name in PRETRAINING:
        if data.packing in (None, "stream") and longer in ("error", "drop"):
            yield (
                f"data.longer: {longer} needs data.packing fit or none: a stream of documents is cut where "
                "its rows end, and nothing is too long for it"
            )
        return
    if data.packing in ("stream", "fit"):
        yield f"data.packing: {data.packing} is for clm, mlm and seq2seq: examples of {name} stay apart"
    if name in ("dpo", "kto", "orpo") and longer in ("error", "drop"):
        yield f"data.longer: {name} cuts answers that are too long and can do nothing else. Leave it out"
    if name == "reward" and longer in ("error", "cut"):
        yield "data.longer: reward leaves out pairs that are too long (drop) and can do nothing else"
