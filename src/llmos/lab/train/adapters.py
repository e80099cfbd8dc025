"""LoRA: small matrices beside frozen weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmos.core.errors import Unprocessable
from llmos.lab.models.quantized import is_quantized, ready_for_adapter, whole_again
from llmos.lab.recipes.schema import Recipe

_TASKS = {
    "classify": "SEQ_CLS",
    "reward": "SEQ_CLS",
    "tag": "TOKEN_CLS",
    "qa": "QUESTION_ANS",
    "seq2seq": "SEQ_2_SEQ_LM",
    "summarize": "SEQ_2_SEQ_LM",
    "translate": "SEQ_2_SEQ_LM",
}
ADAPTER = "adapter"
# Objectives whose head a base seldom has: it is drawn anew.
_HEADED = ("classify", "reward", "tag", "qa")


def add_adapter(model: Any, recipe: Recipe) -> Any:
    """`model` with a fresh adapter as the recipe says; all else is frozen, but for heads, which are trained
    whole and saved beside the adapter.

    Raises Unprocessable for layers the model does not have.
    """
    from peft import LoraConfig, get_peft_model

    lora = recipe.lora
    assert lora is not None
    heads = _heads(model) if recipe.objective in _HEADED else []
    inside = [
        name for name, _ in model.named_modules() for head in heads if f"{name}.".startswith(f"{head}.")
    ]
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha or 2 * lora.rank,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        exclude_modules=inside or None,
        modules_to_save=heads or None,
        use_dora=lora.dora,
        task_type=_TASKS.get(recipe.objective, "CAUSAL_LM") if recipe.objective != "mlm" else None,
    )
    if is_quantized(model):
        model = ready_for_adapter(model, checkpointing=recipe.training.gradient_checkpointing)
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise Unprocessable(f"lora.targets: {error}") from error


def _heads(model: Any) -> list[str]:
    """What stands beside the body and, in the body, the pooler: bases that filled in words have none."""
    body = model.base_model_prefix
    parts = [name for name, _ in model.named_children() if name != body]
    parts += [f"{body}.pooler"] if getattr(getattr(model, body, None), "pooler", None) is not None else []
    return [name for name in parts if any(True for _ in model.get_submodule(name).parameters())]


def merge(model: Any, folder: Path) -> Any:
    """Save the adapter in `folder`/adapter and give the plain model with it worked in.

    A base in four bits is made whole first: rounding the sum again would spoil what was learnt.
    """
    model.save_pretrained(str(folder / ADAPTER))
    if is_quantized(model.get_base_model()):
        from peft import PeftModel

        model = PeftModel.from_pretrained(whole_again(model.unload()), str(folder / ADAPTER))
    return model.merge_and_unload()


def name_base(folder: Path, base: str) -> None:
    """Let adapters in `folder` name their base as others know it, not by where it lies on this machine."""
    for path in (folder / "adapter_config.json", folder / ADAPTER / "adapter_config.json"):
        if path.is_file():
            config = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": base}
            path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            # An empty form of a card, which names the place, too.
            path.with_name("README.md").unlink(missing_ok=True)
