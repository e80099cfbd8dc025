"""The smallest model of each kind the Hub's inference API has a task for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

TEXT = "the cat sat on the mat and the dog ran to the sea while ada wrote a small program in london"
# Kind -> what config.json says of its labels.
LABELS: dict[str, list[str]] = {
    "fill-mask": [],
    "text-classification": ["contradiction", "neutral", "entailment"],
    "token-classification": ["O", "B-PER", "B-LOC"],
    "question-answering": [],
    "text2text-generation": [],
}
_BERTS: dict[str, Any] = {
    "fill-mask": BertForMaskedLM,
    "text-classification": BertForSequenceClassification,
    "token-classification": BertForTokenClassification,
    "question-answering": BertForQuestionAnswering,
}


@lru_cache(maxsize=1)
def _tokenizer() -> Any:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(
        [TEXT] * 3, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    )
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=64, **{f"{key}_token": name for key, name in names.items()}
    )


def make_task_model(folder: Path, task: str) -> Path:
    """A model for `task` with random weights and its tokenizer, in `folder`."""
    torch.manual_seed(1)
    words = len(_tokenizer())
    labels = dict(enumerate(LABELS[task])) or {0: "LABEL_0", 1: "LABEL_1"}
    ids = {"id2label": labels, "label2id": {name: number for number, name in labels.items()}}
    if task in _BERTS:
        config: Any = BertConfig(
            vocab_size=words, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=64, pad_token_id=0, **ids,
        )  # fmt: skip
        _BERTS[task](config).save_pretrained(folder)
    else:
        config = T5Config(
            vocab_size=words, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, pad_token_id=0,
            eos_token_id=3, decoder_start_token_id=0,
        )  # fmt: skip
        T5ForConditionalGeneration(config).save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    (folder / "README.md").write_text(f"---\nlibrary_name: transformers\npipeline_tag: {task}\n---\n# Tiny\n")
    return folder
