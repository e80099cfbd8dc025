"""Sizes by name: the shapes of a model and what suits them. No torch here.

Small presets have small vocabularies: at 200 dimensions every thousand tokens of vocabulary cost as
many operations as a seventh of a layer, and a model of a million parameters cannot learn rare tokens
from a few megabytes anyway. Their steps are small, too: minutes hold few of them. Heads are 64 wide
throughout, which CPU and GPU kernels both like.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmos.lab.recipes.schema import Family, Preset


@dataclass(frozen=True)
class Shape:
    """`learning_rate` is the peak for AdamW with `batch_tokens` tokens a step."""

    width: int
    layers: int
    vocab_size: int
    sequence_length: int
    batch_tokens: int
    learning_rate: float

    @property
    def heads(self) -> int:
        return max(1, self.width // 64)

    @property
    def gated(self) -> int:
        """Inner width of a gated feed-forward layer: 8/3 of the width, a multiple of 64."""
        return -(-8 * self.width // (3 * 64)) * 64


PRESETS: dict[Preset, Shape] = {
    "nano": Shape(128, 2, 1024, 256, 2048, 4e-3),
    "tiny": Shape(256, 2, 1024, 256, 2048, 3e-3),
    "small": Shape(256, 8, 4096, 256, 8192, 2e-3),
    "base": Shape(768, 12, 32_768, 1024, 262_144, 6e-4),
    "medium": Shape(1024, 24, 32_768, 2048, 524_288, 3e-4),
    "large": Shape(2048, 24, 65_536, 4096, 1_048_576, 2e-4),
}

TOKENIZER_OF: dict[Family, str] = {
    "bert": "wordpiece",
    "xlm-roberta": "unigram",
    "albert": "unigram",
    "t5": "unigram",
}
# With fewer tokens WordPiece, which knows whole characters only, cannot spell Chinese.
LEAST_WORDPIECE = 8192
# A second objective beside hidden tokens is for models with room to spare.
SMALL: tuple[Preset, ...] = ("nano", "tiny", "small")


def configuration(
    family: Family, preset: Preset, *, vocab_size: int, length: int
) -> dict[str, int | float | bool]:
    """The fields of the family's configuration for `preset`; token ids are added by `models.build`."""
    shape = PRESETS[preset]
    width, layers, heads = shape.width, shape.layers, shape.heads
    common: dict[str, int | float | bool] = {"vocab_size": vocab_size}
    if family in ("llama", "qwen"):
        return common | {
            "hidden_size": width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads if heads < 8 else heads // 4,
            "head_dim": width // heads,
            "intermediate_size": shape.gated,
            "max_position_embeddings": length,
            "tie_word_embeddings": preset != "large",
        }
    if family == "gpt2":
        sizes = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": length}
        return common | _none_of(("resid_pdrop", "embd_pdrop", "attn_pdrop")) | sizes
    if family == "t5":
        return common | {
            "d_model": width,
            "d_kv": width // heads,
            "d_ff": shape.gated,
            "num_layers": layers,
            "num_decoder_layers": layers,
            "num_heads": heads,
            "dropout_rate": 0.0,
        }
    if family == "bart":
        sides: dict[str, int | float | bool] = {
            f"{side}_{name}": value
            for side in ("encoder", "decoder")
            for name, value in (("layers", layers), ("attention_heads", heads), ("ffn_dim", 4 * width))
        }
        sides |= _none_of(("dropout", "attention_dropout", "activation_dropout"))
        return common | sides | {"d_model": width, "max_position_embeddings": length + 8}
    encoder = common | _none_of(("hidden_dropout_prob", "attention_probs_dropout_prob"))
    encoder |= {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        # RoBERTa and XLM-R count positions from the padding token's id on.
        "max_position_embeddings": length + (8 if family in ("roberta", "xlm-roberta") else 0),
    }
    return encoder | ({"embedding_size": min(128, width)} if family == "albert" else {})


def _none_of(dropouts: tuple[str, ...]) -> dict[str, int | float | bool]:
    """What is read once or twice cannot be learnt by heart; dropping a tenth costs a sixth of the time."""
    return dict.fromkeys(dropouts, 0.0)
