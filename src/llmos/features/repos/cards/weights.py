"""Reading the header of a safetensors file: what is inside, without the weights.

Format: 8 bytes of little-endian header length, a JSON header, then the tensors' bytes.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llmos.core.errors import BadRequest
from llmos.infra.i18n import lazy

Reader = Callable[[int, int], bytes]
"""`read(offset, length)`: bytes at an offset; fewer than asked for mean the end of the file."""

MAX_HEADER_BYTES = 25_000_000
MAX_DIMENSIONS = 32
MAX_COUNT = 2**63 - 1
MAX_INDEX_BYTES = 25_000_000

DTYPE_BITS: dict[str, int] = {
    **{"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8},
    **{"F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
    **{"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32},
    **{"I64": 64, "U64": 64, "F64": 64, "C64": 64},
}
_DTYPE = re.compile(r"[A-Z][A-Z0-9_]{0,23}")
_SHARD = re.compile(r"[^/\\\0]{1,255}\.safetensors")


class WeightHeaderError(BadRequest):
    """The file is not what its name says, or its header is damaged; the message says where."""

    code = "InvalidWeightHeader"


@dataclass(frozen=True)
class TensorInfo:
    """One tensor: `begin` and `end` are bytes counted from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def parameter_count(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class SafetensorsHeader:
    """Tensors in order of their bytes; `parameters` counts elements by dtype."""

    tensors: tuple[TensorInfo, ...]
    metadata: dict[str, str]
    parameters: dict[str, int]
    header_size_bytes: int

    @property
    def total(self) -> int:
        return sum(self.parameters.values())


@dataclass(frozen=True)
class SafetensorsIndex:
    """`model.safetensors.index.json`: which shard holds which tensor."""

    shards: tuple[str, ...]
    weight_map: dict[str, str]
    metadata: dict[str, Any] = field(default_factory=dict)


def read_safetensors_header(read: Reader, size_bytes: int) -> SafetensorsHeader:
    """Read and check the header of a safetensors file of `size_bytes`.

    Promises that dtypes, shapes and offsets agree, and that tensors cover the data without gap
    or overlap. Refuses headers over `MAX_HEADER_BYTES`. Raises `WeightHeaderError` only.
    """
    prefix = _read_exactly(read, 0, 8)
    length = int.from_bytes(prefix, "little")
    if length < 2 or length > MAX_HEADER_BYTES:
        raise WeightHeaderError(
            lazy(
                "safetensors header length is %(length)s bytes; it must be 2 to %(limit)s",
                length=length,
                limit=MAX_HEADER_BYTES,
            )
        )
    if 8 + length > size_bytes:
        raise WeightHeaderError(
            lazy(
                "safetensors header of %(length)s bytes does not fit a file of %(size_bytes)s bytes",
                length=length,
                size_bytes=size_bytes,
            )
        )
    raw = _parse_json(_read_exactly(read, 8, length), lazy("safetensors header"))
    metadata = _metadata(raw.pop("__metadata__", {}))
    tensors = sorted(
        (_tensor(name, entry) for name, entry in raw.items()),
        key=lambda tensor: (tensor.begin, tensor.end, tensor.name),
    )
    _check_layout(tensors, size_bytes - 8 - length)
    counts: Counter[str] = Counter()
    for tensor in tensors:
        counts[tensor.dtype] += tensor.parameter_count
    return SafetensorsHeader(tuple(tensors), metadata, dict(counts), length)


def _read_exactly(read: Reader, offset: int, length: int) -> bytes:
    data = read(offset, length)
    if len(data) != length:
        raise WeightHeaderError(
            lazy(
                "the file ends at byte %(offset)s, inside its header; upload it again",
                offset=offset + len(data),
            )
        )
    return data


def _parse_json(data: bytes, what: str) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            raise WeightHeaderError(lazy("%(what)s names a key twice", what=what))
        return found

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise WeightHeaderError(lazy("%(what)s is not valid JSON in UTF-8", what=what)) from error
    if not isinstance(value, dict):
        raise WeightHeaderError(lazy("%(what)s must be a JSON object", what=what))
    return value


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise WeightHeaderError(lazy('safetensors "__metadata__" must map text to text'))
    return value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _tensor(name: str, entry: Any) -> TensorInfo:
    def refuse(problem: str) -> WeightHeaderError:
        return WeightHeaderError(lazy('tensor "%(name)s": %(problem)s', name=name[:100], problem=problem))

    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise refuse(lazy("needs exactly dtype, shape and data_offsets"))
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or _DTYPE.fullmatch(dtype) is None:
        raise refuse(lazy("dtype must be a name such as F32"))
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(map(_is_count, shape)):
        raise refuse(lazy("shape must be a list of at most %(limit)s counts", limit=MAX_DIMENSIONS))
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise refuse(lazy("data_offsets must be [begin, end]"))
    begin, end = offsets
    count = math.prod(shape)
    bits = DTYPE_BITS.get(dtype)
    if begin > end or count > MAX_COUNT:
        raise refuse(lazy("data_offsets or shape are out of range"))
    if bits is not None and count * bits != (end - begin) * 8:
        raise refuse(
            lazy("shape and dtype need %(need)s bytes, got %(got)s", need=count * bits // 8, got=end - begin)
        )
    return TensorInfo(name, dtype, tuple(shape), begin, end)


def _check_layout(tensors: list[TensorInfo], data_size_bytes: int) -> None:
    position = 0
    for tensor in tensors:
        if tensor.begin != position:
            raise WeightHeaderError(
                lazy(
                    'tensor "%(name)s" starts at %(begin)s, expected %(position)s',
                    name=tensor.name[:100],
                    begin=tensor.begin,
                    position=position,
                )
            )
        position = tensor.end
    if position != data_size_bytes:
        raise WeightHeaderError(
            lazy(
                "tensors end at byte %(position)s, but the file holds %(data_size_bytes)s bytes of data",
                position=position,
                data_size_bytes=data_size_bytes,
            )
        )


def read_safetensors_index(content: bytes) -> SafetensorsIndex:
    """Read `model.safetensors.index.json`; shards are names in the same folder, sorted.

    Raises `WeightHeaderError` when the file is too large, damaged or points outside its folder.
    """
    if len(content) > MAX_INDEX_BYTES:
        raise WeightHeaderError(
            lazy("safetensors index is larger than %(limit)s bytes", limit=MAX_INDEX_BYTES)
        )
    raw = _parse_json(content, lazy("safetensors index"))
    weight_map, metadata = raw.get("weight_map"), raw.get("metadata", {})
    if not isinstance(weight_map, dict) or not isinstance(metadata, dict):
        raise WeightHeaderError(lazy('safetensors index needs a "weight_map" of tensor to file'))
    for shard in set(map(str, weight_map.values())):
        if _SHARD.fullmatch(shard) is None:
            raise WeightHeaderError(
                lazy('safetensors index names "%(shard)s", not a shard here', shard=shard[:100])
            )
    if not all(isinstance(shard, str) for shard in weight_map.values()):
        raise WeightHeaderError(lazy('safetensors index "weight_map" must map text to text'))
    return SafetensorsIndex(tuple(sorted(set(weight_map.values()))), weight_map, metadata)


def sum_parameters(headers: Iterable[SafetensorsHeader]) -> dict[str, int]:
    """Parameters by dtype over all shards of one model."""
    counts: Counter[str] = Counter()
    for header in headers:
        counts.update(header.parameters)
    return dict(counts)


def safetensors_json(parameters: Mapping[str, int]) -> dict[str, Any]:
    """The API's `safetensors` field: `{parameters, total}`, both always present."""
    return {"parameters": dict(parameters), "total": sum(parameters.values())}
