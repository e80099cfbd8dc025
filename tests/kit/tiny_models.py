"""Tiny models with tokenizers, made where they are needed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from llmos.lab.samples import sample

LENGTH = 128


@lru_cache(maxsize=1)
def tokenizer() -> Any:
    """Byte-level, 400 words, with tokens for the begin and the end of a text."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([sample("english.txt").read_text(encoding="utf-8")[:30_000]], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")


def make_model(folder: Path, family: str = "llama", *, length: int = LENGTH) -> Path:
    """A model whose weights are large enough that it has opinions, with its tokenizer, in `folder`."""
    words = len(tokenizer())
    fields: dict[str, Any] = {"vocab_size": words, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    if family == "gpt2":
        fields |= {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": length}
    else:
        fields |= {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8}
        fields |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": length}
    torch.manual_seed(3)
    config = AutoConfig.for_model(family, **fields, initializer_range=0.25)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
