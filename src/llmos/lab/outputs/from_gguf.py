"""A GGUF model as an ordinary folder: `python -m llmos.lab.outputs.from_gguf MODEL.gguf FOLDER`.

Weights are taken out of their blocks and kept in bfloat16; tokenizer and chat template come along.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def convert(source: Path, target: Path) -> None:
    """Write `target` so that `from_pretrained` loads it. Raises what transformers does for other files."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    auto: Any = AutoModelForCausalLM

    packed = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.bfloat16)
    config = packed.config
    # The weights are plain now; a note of how they were packed would be read as an order to unpack.
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = auto.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(packed.state_dict())
    model.save_pretrained(target)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    if tokenizer.chat_template:
        tokenizer.chat_template = mark_answers(tokenizer.chat_template)
    tokenizer.save_pretrained(target)


# How ChatML templates write a message, and the same with the answers marked: what is said stays the same.
_MESSAGE = "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
_MARKED = (
    "{{'<|im_start|>' + message['role'] + '\n'}}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{message['content'] + '<|im_end|>'}}{% endgeneration %}"
    "{% else %}{{message['content'] + '<|im_end|>'}}{% endif %}{{'\n'}}"
)


def mark_answers(template: str) -> str:
    """The template with the model's own words between `{% generation %}` tags, as fine-tuning on answers
    alone needs them; unchanged where it is no plain ChatML."""
    return template.replace(_MESSAGE, _MARKED)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
