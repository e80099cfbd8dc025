"""A model and its tokenizer from a folder, or what is missing there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from llmos.lab.evaluate.engines.base import EngineError
from llmos.lab.train.device import pick_device

_LENGTHS = ("n_positions", "max_position_embeddings", "n_ctx")
# What tokenizers say who know no limit.
_UNLIMITED = 10**12
_DEFAULT_LENGTH = 2048


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`; raises EngineError where there is none."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise EngineError(
            f"{folder.name} has no tokenizer that can be read. Put tokenizer.json and tokenizer_config.json "
            f"beside the weights. ({_first_line(error)})",
            code="NoTokenizer",
        ) from error
    if not len(tokenizer):
        raise EngineError(f"The tokenizer of {folder.name} has no words.", code="NoTokenizer")
    return tokenizer


def load_model(folder: Path, *, dtype: str, device: str, kind: str = "AutoModelForCausalLM") -> Any:
    """The model in `folder`, ready to read. "auto": single precision on processors, else the weights' own.

    Raises EngineError for a folder without such a model, and for weights that are pickled only.
    """
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    where = pick_device() if device == "auto" else device
    wanted: Any = dtype if dtype != "auto" else ("float32" if where == "cpu" else "auto")
    try:
        model = getattr(transformers, kind).from_pretrained(
            str(folder), dtype=wanted, trust_remote_code=False, use_safetensors=True
        )
        model = model.to(where)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        raise EngineError(
            f"{folder.name} holds no model that this task can ask ({kind}): {_first_line(error)}"
        ) from error
    if where == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
    return model.eval()


def max_length_of(model: Any, tokenizer: Any) -> int:
    """Tokens the model reads at once, as its configuration or else its tokenizer says."""
    config = model.config.get_text_config()
    for name in _LENGTHS:
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    own = tokenizer.model_max_length
    return int(own) if own and own < _UNLIMITED else _DEFAULT_LENGTH


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
