"""`llmos tokenizer compare`: tokenizers trained on texts, and others, on a part that none has learnt from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.core.errors import EntryNotFound, NotFound
from llmos.lab.data.encode import pieces
from llmos.lab.data.errors import DataError
from llmos.lab.data.loader import Corpus, load
from llmos.lab.recipes.schema import Data
from llmos.lab.recipes.write import sources_of
from llmos.lab.tokenizers.compare import Spelling, by_language, compare
from llmos.lab.tokenizers.specials import specials_of
from llmos.lab.tokenizers.train import Kind, train_fast, whole_texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KINDS: tuple[Kind, ...] = ("bpe", "unigram", "wordpiece")
HELD_OUT = 0.1
MIN_FREQUENCY = 2
# Of longer texts pieces from everywhere are compared: a tenth of this takes a second.
COMPARED_CHARS = 5_000_000
_FILE = "tokenizer.json"
_MODELS = ("BPE", "Unigram", "WordPiece", "WordLevel")


def contest(
    data: Sequence[str],
    given: Sequence[str],
    *,
    kinds: Sequence[Kind] = KINDS,
    vocab_size: int = 8192,
    cache: Path,
    root: Path,
    say: Callable[[str], None] = lambda _: None,
) -> list[Spelling]:
    """Train each of `kinds` on `data`, and compare them with those `given` on a tenth that is held out.

    `data` are files, patterns, samples or data sets as in a recipe; `given` folders, files or models of the
    hub. Raises DataError for data that cannot be read, NotFound or EntryNotFound for a model without a fast
    tokenizer. `say` is told what is begun.
    """
    # Found first: what is not there is said before minutes are spent.
    others = {name: open_tokenizer(name, root) for name in given}
    options = Data.model_validate({"sources": sources_of(tuple(data), root), "held_out": HELD_OUT})
    corpus = load(options, "clm", cache=cache, base=root)
    made: dict[str, Tokenizer] = {}
    for kind in kinds:
        say(f"Training {kind} on {corpus.statistics.size_bytes / 1e6:.2f} MB …")
        made[kind] = _trained(kind, corpus, vocab_size)
    return compare({**made, **others}, by_language(_held_out(corpus)))


def _trained(kind: Kind, corpus: Corpus, vocab_size: int) -> Tokenizer:
    # WordPiece needs a word for what it cannot spell, as encoders have.
    specials = specials_of("encoder" if kind == "wordpiece" else "decoder", chat=False)
    return train_fast(
        kind, corpus.texts(), vocab_size=vocab_size, min_frequency=MIN_FREQUENCY, specials=specials
    )


def _held_out(corpus: Corpus) -> list[str]:
    step = max(1, -(-corpus.statistics.validation_bytes // COMPARED_CHARS))
    return [part for text in corpus.texts("validation") for part in pieces(text)][::step]


def open_tokenizer(name: str, root: Path) -> Tokenizer:
    """The fast tokenizer of a folder, of a tokenizer.json, or of a model of the hub.

    Raises NotFound where there is nothing of that name, EntryNotFound where it has no tokenizer.json,
    DataError for one that cannot be read.
    """
    from tokenizers import Tokenizer

    path = root / Path(name).expanduser()
    if path.is_dir():
        path /= _FILE
        if not path.is_file():
            raise EntryNotFound(f"{name} has no {_FILE}: only fast tokenizers can be compared.")
    elif not path.is_file():
        path = _fetched(name)
    try:
        text = path.read_text(encoding="utf-8")
        kind = json.loads(text)["model"]["type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{name} holds no tokenizer of the tokenizers library.") from error
    if kind not in _MODELS:
        raise DataError(f"{name} is a tokenizer of kind {kind}; known are: {', '.join(_MODELS)}.")
    return whole_texts(Tokenizer.from_str(text))


def _fetched(name: str) -> Path:
    if name.startswith(("/", ".", "~")) or name.count("/") != 1:
        raise NotFound(f"{name} is no folder or file here, and no name of a model as ada/tiny-llm.")
    from llmos.client.hub import Hub

    hub = Hub()
    repo = hub.access_repo(name)
    if _FILE not in {file.path for file in repo.files}:
        raise EntryNotFound(f"{name} has no {_FILE}: only fast tokenizers can be compared.")
    return hub.download(repo, _FILE)
