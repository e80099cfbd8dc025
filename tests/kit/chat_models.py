"""Tiny models that chat, see gaps, label, point and write, with tokenizers that know Chinese bytes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, PreTrainedTokenizerFast

from llmos.lab.samples import sample

TEMPLATE = (
    "{% if messages[0]['role'] == 'assistant' %}"
    "{{ raise_exception('A chat begins with the user.') }}{% endif %}"
    "{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}"
    "<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer(*, template: str | None = TEMPLATE) -> Any:
    """Byte-level, with the tokens of ChatML; a Chinese character is three tokens."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([sample("english.txt").read_text(encoding="utf-8")[:20_000]], trainer)
    made.add_tokens([AddedToken("<tool_call>"), AddedToken("</tool_call>")])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )
    if template:
        wrapped.chat_template = template
    return wrapped


def chat_model(folder: Path, *, spoilt: bool = False, **fields: Any) -> Path:
    """A llama that chats; `spoilt` has weights that are not numbers in the row of one token."""
    from transformers import AutoModelForCausalLM

    words = byte_tokenizer()
    torch.manual_seed(4)
    wanted: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "eos_token_id": 0,
        "bos_token_id": 0,
        "pad_token_id": 0,
        "initializer_range": 0.25,
    }
    family = fields.pop("family", "llama")
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **(wanted | fields)))
    if spoilt:
        with torch.no_grad():
            model.get_input_embeddings().weight[words.convert_tokens_to_ids("Q")] = float("nan")
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@lru_cache(maxsize=1)
def word_tokenizer() -> Any:
    """Lower-case words of BERT's kind."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=500, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False
    )
    made.train_from_iterator([sample("english.txt").read_text(encoding="utf-8")[:20_000]], trainer)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def head_model(folder: Path, head: str, labels: list[str] | None = None) -> Path:
    """A BERT with a head: "MaskedLM", "SequenceClassification", ... or "" for none."""
    import transformers

    words = word_tokenizer()
    torch.manual_seed(5)
    names = (
        {}
        if labels is None
        else {"id2label": dict(enumerate(labels)), "label2id": {x: n for n, x in enumerate(labels)}}
    )
    config = AutoConfig.for_model(
        "bert",
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=0,
        **names,
    )
    kind = getattr(transformers, f"AutoModelFor{head}" if head else "AutoModel")
    kind.from_config(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def writer_model(folder: Path) -> Path:
    """A T5 that writes one text from another."""
    from transformers import AutoModelForSeq2SeqLM

    words = byte_tokenizer(template=None)
    torch.manual_seed(6)
    config = AutoConfig.for_model(
        "t5",
        vocab_size=len(words),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        n_positions=128,
        initializer_factor=3.0,
    )
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
