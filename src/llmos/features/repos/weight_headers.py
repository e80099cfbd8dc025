"""All safetensors headers of a sharded model in one answer."""

from __future__ import annotations

import json
from typing import Any

from llmos.core.errors import BadRequest, EntryNotFound, TooLarge
from llmos.features.repos.cards.weights import MAX_HEADER_BYTES, WeightHeaderError, read_safetensors_index
from llmos.features.repos.revision_files import RevisionFiles
from llmos.features.repos.weight_facts import MAX_INDEX_BYTES, read_header
from llmos.infra.i18n import lazy

MAX_TOTAL_HEADER_BYTES = 200_000_000


def shard_headers(files: RevisionFiles, index_path: str) -> dict[str, Any]:
    """`{index: {metadata}, headers: {shard: header}}` of an index file and the shards beside it.

    Raises EntryNotFound where the index or a shard is missing, BadRequest for damaged ones,
    TooLarge where the headers together exceed MAX_TOTAL_HEADER_BYTES.
    """
    if not index_path.endswith(".safetensors.index.json"):
        raise BadRequest(lazy("file must be a safetensors index, such as model.safetensors.index.json."))
    content = files.read_small(index_path, MAX_INDEX_BYTES)
    if content is None:
        raise EntryNotFound(
            lazy("Entry not found: there is no readable %(index_path)r.", index_path=index_path),
            data={"commit_oid": files.commit},
        )
    index = read_safetensors_index(content)
    folder = index_path.rpartition("/")[0]
    headers: dict[str, Any] = {}
    total_bytes = 0
    for shard in index.shards:
        path = f"{folder}/{shard}" if folder else shard
        header, size_bytes = _raw_header(files, path)
        total_bytes += size_bytes
        if total_bytes > MAX_TOTAL_HEADER_BYTES:
            raise TooLarge(lazy("The headers of this model are too large for one answer: read the files."))
        headers[shard] = header
    return {"index": {"metadata": index.metadata}, "headers": headers}


def _raw_header(files: RevisionFiles, path: str) -> tuple[dict[str, Any], int]:
    """The header's JSON as it stands in the file, after it was checked."""
    checked = read_header(files, path) if path in files.entries else None
    reader = files.reader(path)
    if checked is None or reader is None:
        raise EntryNotFound(
            lazy("Entry not found: the content of %(path)r is not here.", path=path),
            data={"commit_oid": files.commit},
        )
    if checked.header_size_bytes > MAX_HEADER_BYTES:
        raise WeightHeaderError(lazy("the header of %(path)r is too large", path=path))
    value: dict[str, Any] = json.loads(reader(8, checked.header_size_bytes))
    return value, checked.header_size_bytes
