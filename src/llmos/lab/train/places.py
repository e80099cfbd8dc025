"""Where things lie: caches, base models, tokenizers. A runner lays inputs and names them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos.lab.data.loader import Corpus
from llmos.lab.data.sources import licence_of
from llmos.lab.inputs import laid_input
from llmos.lab.models.build import ModelError
from llmos.lab.recipes.schema import DECODERS, ENCODERS, Recipe


def cache_folder() -> Path:
    """Prepared data: LLMOS_LAB_CACHE, or a folder of the user's cache."""
    found = os.environ.get("LLMOS_LAB_CACHE")
    if found:
        return Path(found)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llmos-lab"


def find_base(recipe: Recipe) -> dict[str, Any] | None:
    """Folder, name, revision and licence of the base model; None when a new one is made."""
    name = recipe.model.base
    if name is None:
        return None
    if name.startswith("preset:"):
        raise ModelError("model.base: sizes of new models go into model.preset.")
    return locate_model(name, recipe.model.revision, "model.base")


def locate_model(name: str, revision: str | None, field: str) -> dict[str, Any]:
    """The model's files on this machine: a folder, an input the runner laid, or fetched from the hub.

    Of a folder and of what was laid its card tells the licence.
    """
    laid = laid_input("model", name)
    path = laid.path if laid else Path(name).expanduser()
    if path.is_dir():
        return {
            "name": name if laid else path.name,
            "path": str(path),
            "revision": (laid.revision if laid else None) or revision,
            "licence": licence_of(path),
        }
    if name.startswith(("/", ".", "~")) or name.count("/") != 1:
        raise ModelError(f"{field}: {name} is no folder here, and no name of a model as ada/tiny-llm.")
    return _fetch(name, revision)


def _fetch(name: str, revision: str | None) -> dict[str, Any]:
    from llmos.client.hub import Hub

    hub = Hub(retry_for_s=60)
    repo = hub.access_repo(name, "model", revision)
    wanted = [file.path for file in repo.files if "/" not in file.path and _is_wanted(file.path)]
    folder = ""
    for path in wanted:
        folder = str(hub.download(repo, path).parent)
    if not folder:
        raise ModelError(f"model.base: {name} holds no model.")
    return {"name": name, "path": folder, "revision": repo.commit, "licence": repo.licence}


def _is_wanted(path: str) -> bool:
    return path.endswith((".safetensors", ".json", ".txt", ".jinja", ".model", ".gguf"))


def find_tokenizer(
    recipe: Recipe,
    corpus: Corpus,
    base: dict[str, Any] | None,
    *,
    kept: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Any:
    """The tokenizer the recipe names, the base's, or one trained on the corpus.

    `kept` is a checkpoint that may hold the trained one already; `progress` is told how many bytes of the
    corpus a new one has been given.
    """
    from transformers import AutoTokenizer

    from llmos.lab.tokenizers.train import train

    choice = recipe.tokenizer
    if choice.from_ is None and base is None:
        assert choice.train is not None
        if kept is not None and (kept / "tokenizer.json").is_file():
            return AutoTokenizer.from_pretrained(str(kept), trust_remote_code=False)
        family = recipe.model.family
        role = "decoder" if family in DECODERS else "encoder" if family in ENCODERS else "encoder-decoder"
        return train(
            choice.train,
            corpus.texts("train", progress=progress),
            role=role,  # type: ignore[arg-type]
            max_length=recipe.training.sequence_length,
            # A hundred sentinels are T5's; a vocabulary of a thousand has better uses.
            sentinels=100 if (choice.train.vocab_size or 0) >= 16_384 else 32,
        )
    place = base
    if choice.from_ is not None:
        place = locate_model(choice.from_, choice.revision, "tokenizer.from")
    assert place is not None
    options = {"gguf_file": recipe.model.gguf_file} if recipe.model.gguf_file and place is base else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place["path"], trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"tokenizer.from: {place['name']} has no tokenizer we can read: {error}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer
