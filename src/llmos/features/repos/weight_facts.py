"""Parameter counts of a revision, from the headers of its weight files."""

from __future__ import annotations

from typing import Any

from llmos.features.repos.cards.gguf import read_gguf_header
from llmos.features.repos.cards.weights import (
    Reader,
    SafetensorsHeader,
    WeightHeaderError,
    read_safetensors_header,
    read_safetensors_index,
    safetensors_json,
    sum_parameters,
)
from llmos.features.repos.json_clean import clean_json
from llmos.features.repos.revision_files import RevisionFiles
from llmos.infra.git.caches import LruCache

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
MAX_SHARDS = 1000
READ_AHEAD_BYTES = 64 * 1024
MAX_INDEX_BYTES = 25_000_000

# Content never changes under its id, so a push re-reads only the headers of new shards.
_parameters: LruCache[str, dict[str, int]] = LruCache(20_000)


def safetensors_facts(files: RevisionFiles) -> dict[str, Any]:
    """The API's `safetensors` field; empty where no complete set of readable weights exists."""
    try:
        paths = _weight_paths(files)
        counts = [_parameters_of(files, path) for path in paths]
    except WeightHeaderError:
        return {}
    known = [count for count in counts if count is not None]
    if not known or len(known) < len(counts):
        return {}
    total: dict[str, int] = {}
    for count in known:
        for dtype, number in count.items():
            total[dtype] = total.get(dtype, 0) + number
    return safetensors_json(total)


def _weight_paths(files: RevisionFiles) -> list[str]:
    if SINGLE_FILE in files.entries:
        return [SINGLE_FILE]
    content = files.read_small(INDEX_FILE, MAX_INDEX_BYTES)
    if content is not None:
        return list(read_safetensors_index(content).shards[:MAX_SHARDS])
    # Adapters and older models have one file of another name at the root.
    names = [path for path in files.entries if path.endswith(".safetensors") and "/" not in path]
    return names if len(names) == 1 else []


def _parameters_of(files: RevisionFiles, path: str) -> dict[str, int] | None:
    entry = files.entries.get(path)
    if entry is None:
        return None
    key = entry.lfs.oid if entry.lfs else entry.oid
    known = _parameters.get(key)
    if known is None:
        header = read_header(files, path)
        if header is None:
            return None
        known = sum_parameters([header])
        _parameters.put(key, known)
    return known


def read_header(files: RevisionFiles, path: str) -> SafetensorsHeader | None:
    """The header of one weight file; None where its bytes are not here. Raises WeightHeaderError."""
    reader = files.reader(path)
    if reader is None:
        return None
    size_bytes = files.entries[path].content_size
    return read_safetensors_header(_reading_ahead(reader, size_bytes), size_bytes)


def _reading_ahead(reader: Reader, size_bytes: int) -> Reader:
    """Most headers come whole with the first read: every read looks up where the bytes lie."""
    first = reader(0, min(size_bytes, READ_AHEAD_BYTES))

    def read(offset: int, length: int) -> bytes:
        end = offset + length
        return first[offset:end] if end <= len(first) else reader(offset, length)

    return read


def gguf_facts(files: RevisionFiles) -> dict[str, Any]:
    """The API's `gguf` field, of the first readable GGUF file in order of path."""
    for path in sorted(path for path in files.entries if path.endswith(".gguf"))[:4]:
        reader = files.reader(path)
        if reader is None:
            continue
        try:
            header = read_gguf_header(reader, files.entries[path].content_size)
        except WeightHeaderError:
            continue
        return dict(clean_json(header.as_json()))
    return {}
