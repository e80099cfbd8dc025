"""A tokenizer made from texts.

Byte-level BPE and byte-level Unigram give back every text to the letter, whatever its script. WordPiece
does not: it forgets blanks, and calls a character it has not met [UNK].
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmos.lab.data.encode import all_cores, pieces
from llmos.lab.data.errors import DataError
from llmos.lab.tokenizers.specials import Role, Specials, specials_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from llmos.lab.recipes.schema import TrainTokenizer

Kind = Literal["bpe", "unigram", "wordpiece"]
BYTES = 256
# The most text that is looked at: more changes no merge worth having and costs minutes.
MAX_TRAIN_CHARS = 200_000_000
# Unigram weighs every substring: a million characters take it half a minute, 20 million more than ten
# minutes and 1.4 GB. Enough for each token of the vocabulary to be met often.
UNIGRAM_CHARS_PER_TOKEN = 1000


def train(
    spec: TrainTokenizer,
    texts: Iterable[str],
    *,
    role: Role = "decoder",
    max_length: int | None = None,
    sentinels: int = 32,
) -> PreTrainedTokenizerFast:
    """Train what `spec` says on `texts`, for a model of `role`; the same texts give the same tokenizer.

    `max_length` is the context of the model, noted in the tokenizer. Raises DataError when there is
    no text, or the vocabulary is too small to hold what it must.
    """
    specials = specials_of(role, chat=spec.chat_template, sentinels=sentinels)
    tokenizer = train_fast(
        spec.type or "bpe",
        texts,
        vocab_size=spec.vocab_size or 8192,
        min_frequency=spec.min_frequency,
        specials=specials,
    )
    return wrap(tokenizer, specials, max_length=max_length)


def train_fast(
    kind: Kind, texts: Iterable[str], *, vocab_size: int, min_frequency: int, specials: Specials
) -> Tokenizer:
    """The same as a tokenizer of the `tokenizers` library."""
    least = len(specials.tokens) + (BYTES if kind != "wordpiece" else 64)
    if vocab_size < least:
        raise DataError(
            f"tokenizer.train.vocab_size: {vocab_size} is too small; {kind} needs at least {least} "
            f"({len(specials.tokens)} special tokens and what every text is spelt from)."
        )
    tokenizer, trainer = _untrained(kind, vocab_size, min_frequency, specials)
    seen = _Counted(thinned(texts, UNIGRAM_CHARS_PER_TOKEN * vocab_size) if kind == "unigram" else texts)
    with all_cores():
        tokenizer.train_from_iterator(iter(seen), trainer=trainer)
    if seen.chars == 0:
        raise DataError("There is no text to make a tokenizer from: all documents are empty.")
    _add_template(tokenizer, specials)
    return tokenizer


def thinned(texts: Iterable[str], chars: int) -> Iterator[str]:
    """All pieces, or every second, fourth, eighth… so that they hold at most `chars` characters."""
    kept: list[str] = []
    held, step = 0, 1
    for number, piece in enumerate(piece for text in texts for piece in pieces(text)):
        if number % step:
            continue
        kept.append(piece)
        held += len(piece)
        while held > chars and len(kept) > 1:
            kept, step = kept[::2], 2 * step
            held = sum(map(len, kept))
    yield from kept


class _Counted:
    """Pieces of texts, up to the most that is looked at."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = texts
        self.chars = 0

    def __iter__(self) -> Iterator[str]:
        for text in self.texts:
            self.chars += len(text)
            yield from pieces(text)
            if self.chars >= MAX_TRAIN_CHARS:
                return


def _untrained(kind: Kind, vocab_size: int, min_frequency: int, specials: Specials) -> tuple[Tokenizer, Any]:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    common: dict[str, Any] = {
        "vocab_size": vocab_size,
        "special_tokens": specials.tokens,
        "show_progress": False,
    }
    if kind == "wordpiece":
        unknown = specials.named.get("unk_token", "[UNK]")
        tokenizer = Tokenizer(models.WordPiece(unk_token=unknown, max_input_chars_per_word=100))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        common["special_tokens"] = list(dict.fromkeys([*specials.tokens, unknown]))
        # Chinese has thousands of characters; half of the vocabulary may go to single ones.
        return tokenizer, trainers.WordPieceTrainer(
            min_frequency=min_frequency, limit_alphabet=max(vocab_size // 2, 64), **common
        )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        trainer: Any = trainers.BpeTrainer(min_frequency=min_frequency, initial_alphabet=alphabet, **common)
    else:
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(
            initial_alphabet=alphabet,
            unk_token=specials.named.get("unk_token", specials.tokens[0]),
            max_piece_length=16,
            **common,
        )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, trainer


def _add_template(tokenizer: Tokenizer, specials: Specials) -> None:
    from tokenizers import processors

    if specials.single is None:
        return
    tokenizer.post_processor = processors.TemplateProcessing(
        single=specials.single,
        pair=specials.pair,
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in specials.tokens],
    )


def wrap(
    tokenizer: Tokenizer, specials: Specials, *, max_length: int | None = None
) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers uses and saves it."""
    import transformers

    make: Any = transformers.PreTrainedTokenizerFast
    wrapped: PreTrainedTokenizerFast = make(
        tokenizer_object=tokenizer,
        model_max_length=max_length or 1_000_000,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=list(specials.extra),
        **specials.named,
    )
    if specials.chat_template:
        wrapped.chat_template = specials.chat_template
    return wrapped


def save(tokenizer: PreTrainedTokenizerFast, folder: Path) -> list[Path]:
    """Write what `AutoTokenizer.from_pretrained(folder)` reads; the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    return sorted({Path(name) for name in tokenizer.save_pretrained(str(folder)) if Path(name).exists()})


def fast_of(tokenizer: Any) -> Tokenizer:
    """The `tokenizers` object inside a fast tokenizer of transformers; a copy of one that would cut texts.

    Raises DataError for a slow one (written in Python), which packing cannot use.
    """
    found: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
    if found is None:
        raise DataError(f"{type(tokenizer).__name__} has no fast form. Choose a model with a tokenizer.json.")
    return whole_texts(found)


def whole_texts(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer without the limits finished models save in theirs: no text is cut or filled up."""
    from tokenizers import Tokenizer

    if tokenizer.truncation is None and tokenizer.padding is None:
        return tokenizer
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy
