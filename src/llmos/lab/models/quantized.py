"""Bases in four bits (QLoRA), through bitsandbytes, which is installed apart (`make setup-qlora`).

It lies in a folder of its own inside the training side's environment: libraries that only look whether it
is there would import it in every run, which takes seconds.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from llmos.core.errors import Unprocessable

FOLDER = "qlora"


def check_library() -> None:
    """Let bitsandbytes be found. Raises Unprocessable with the way to install it."""
    apart = Path(sys.prefix) / FOLDER
    if apart.is_dir() and str(apart) not in sys.path:
        sys.path.append(str(apart))
        importlib.invalidate_caches()
    if importlib.util.find_spec("bitsandbytes") is None:
        raise Unprocessable(
            "lora.quantize: needs the library bitsandbytes, which is not installed here. Install it with "
            "`make setup-qlora`, or leave lora.quantize out: plain LoRA needs nothing else.",
            code="NeedsLibrary",
        )


def load_options() -> dict[str, Any]:
    """What `from_pretrained` is told: NF4 with quantised scales, on the device that computes."""
    import torch
    from transformers import BitsAndBytesConfig

    check_library()
    on_card = torch.cuda.is_available()
    kind = torch.bfloat16 if on_card and torch.cuda.is_bf16_supported() else torch.float32
    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=kind,
    )
    where: Any = torch.cuda.current_device() if on_card else "cpu"
    return {"quantization_config": config, "device_map": {"": where}}


def is_quantized(model: Any) -> bool:
    return bool(getattr(model, "is_loaded_in_4bit", False))


def ready_for_adapter(model: Any, *, checkpointing: bool) -> Any:
    """Freeze it; norms and embeddings in single precision."""
    from peft import prepare_model_for_kbit_training

    for module in model.modules():
        # On CPUs with bf16 an evaluation would repack the weights, with coarser scales, for good: the
        # training that follows would be another one, and differ from one that goes on from here.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    options = {"use_reentrant": False}
    return prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
        model, use_gradient_checkpointing=checkpointing, gradient_checkpointing_kwargs=options
    )


def whole_again(model: Any) -> Any:
    """An ordinary model with the weights the four bits stand for: those the adapter was trained beside."""
    plain = model.dequantize().float()
    for field in ("hf_quantizer", "quantization_method", "is_loaded_in_4bit"):
        plain.__dict__.pop(field, None)
    plain.config.__dict__.pop("quantization_config", None)
    plain.is_quantized = False
    return plain
