"""Which files of a model decide its answers, and the digests of them by what they are for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llmos.records.canonical import canonical, digest, parse
from llmos.records.digests import hash_files
from llmos.records.errors import RecordError
from llmos.wire.evaluation import FileDigest

Role = Literal["weights", "tokenizer", "chat template", "settings", "code"]

MAX_CONFIG_BYTES = 64_000_000
TOKENIZER_CONFIG = "tokenizer_config.json"
_TEMPLATE_KEY = "chat_template"
_TEMPLATES = "additional_chat_templates"
_ROLES: list[tuple[Role, re.Pattern[str]]] = [
    (
        "weights",
        re.compile(r".*\.(safetensors|gguf)|(pytorch_model|model|adapter_model).*\.(bin|index\.json)"),
    ),
    ("weights", re.compile(r".*\.safetensors\.index\.json")),
    ("chat template", re.compile(rf"chat_template\.(jinja|json)|{_TEMPLATES}/[^/]+\.jinja")),
    ("tokenizer", re.compile(r"(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json")),
    ("tokenizer", re.compile(r"(vocab|merges|dict)\.txt|[^/]+\.(model|spm|tiktoken|bpe)")),
    ("settings", re.compile(r"(config|generation_config|adapter_config|preprocessor_config)\.json")),
    ("code", re.compile(r"[^/]+\.py")),
]


@dataclass(frozen=True)
class ModelDigests:
    """What `ModelFacts` wants to know of the files."""

    files: list[FileDigest]
    weights_sha256: str
    tokenizer_sha256: str | None
    chat_template_sha256: str | None


def get_role(path: str) -> Role | None:
    """What a file of a model repository is for; None when it decides nothing (a card, a training log)."""
    if "/" in path and not path.startswith(f"{_TEMPLATES}/"):
        return None
    return next((role for role, pattern in _ROLES if pattern.fullmatch(path)), None)


def list_model_files(folder: Path) -> dict[str, Path]:
    """The files of a model folder that decide its answers, sorted by path.

    Links are followed: a cache of downloads is made of them. Raises RecordError when `folder` is none.
    """
    if not folder.is_dir():
        raise RecordError(f"{folder} is not a folder with a model.", file=folder.name)
    found = [*folder.iterdir(), *(folder / _TEMPLATES).glob("*.jinja")]
    named = {path.relative_to(folder).as_posix(): path for path in found if path.is_file()}
    return {name: named[name] for name in sorted(named) if get_role(name)}


def digest_model(folder: Path) -> ModelDigests:
    """Digests of a model folder. Raises RecordError when there are no weights in it."""
    paths = list_model_files(folder)
    hashed = hash_files(list(paths.values()))
    files = [
        FileDigest(path=name, size_bytes=file.size_bytes, sha256=file.sha256)
        for name, file in zip(paths, hashed, strict=True)
    ]
    if not any(get_role(file.path) == "weights" for file in files):
        raise RecordError(f"{folder} holds no weights (*.safetensors).", file=folder.name)
    return ModelDigests(
        files, weights_digest(files), tokenizer_digest(folder, files), chat_template_digest(folder, files)
    )


def weights_digest(files: Iterable[FileDigest]) -> str:
    """The JSON list of [path, sha256] of the files that hold weights."""
    return digest(sorted([f.path, f.sha256] for f in files if get_role(f.path) == "weights"))


def tokenizer_digest(folder: Path, files: Iterable[FileDigest]) -> str | None:
    """The JSON list of [path, sha256] of the tokenizer's files; None when there are none.

    tokenizer_config.json counts as the canonical JSON of what it holds besides the chat template.
    """
    pairs = [[f.path, f.sha256] for f in files if get_role(f.path) == "tokenizer"]
    config = read_json(folder / TOKENIZER_CONFIG)
    for pair in pairs:
        if pair[0] == TOKENIZER_CONFIG and isinstance(config, dict):
            rest = {key: value for key, value in config.items() if key != _TEMPLATE_KEY}
            pair[1] = hashlib.sha256(canonical(rest)).hexdigest()
    return digest(sorted(pairs)) if pairs else None


def chat_template_digest(folder: Path, files: Iterable[FileDigest]) -> str | None:
    """The JSON list of [path, sha256] of template files and [tokenizer_config.json, template]; None: none."""
    pairs: list[list[Any]] = [[f.path, f.sha256] for f in files if get_role(f.path) == "chat template"]
    config = read_json(folder / TOKENIZER_CONFIG)
    if isinstance(config, dict) and config.get(_TEMPLATE_KEY) is not None:
        pairs.append([TOKENIZER_CONFIG, config[_TEMPLATE_KEY]])
    return digest(sorted(pairs, key=lambda pair: str(pair[0]))) if pairs else None


def read_json(path: Path) -> Any:
    """The value of a small JSON file of a model; None when there is no such file, or it is no JSON."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_CONFIG_BYTES:
            return None
        return parse(path.read_bytes(), name=path.name)
    except (OSError, RecordError):
        return None
