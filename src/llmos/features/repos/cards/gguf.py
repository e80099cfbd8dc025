"""Reading the header of a GGUF file (versions 2 and 3, little-endian), with every count capped."""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any

from llmos.features.repos.cards.weights import MAX_COUNT, Reader, WeightHeaderError
from llmos.infra.i18n import lazy

MAX_HEADER_BYTES = 64_000_000
MAX_KEYS = 65_536
MAX_TENSORS = 131_072
MAX_STRING_BYTES = 1_000_000
MAX_NAME_BYTES = 1_024
MAX_ARRAY_STRINGS = 2_000_000
MAX_KEPT_CHARS = 4_096
_CHUNK_BYTES = 1 << 20

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_SCALARS[12] = "d"
_STRING, _ARRAY = 8, 9
_TOKENS = "tokenizer.ggml.tokens"

FILE_TYPES: dict[int, str] = {
    **{0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 4: "Q4_1_SOME_F16", 7: "Q8_0", 8: "Q5_0"},
    **{9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S"},
    **{15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS"},
    **{21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S"},
    **{27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16"},
    **{33: "Q4_0_4_4", 34: "Q4_0_4_8", 35: "Q4_0_8_8", 36: "TQ1_0", 37: "TQ2_0"},
    **{38: "MXFP4_MOE", 39: "NVFP4", 40: "Q1_0", 41: "Q2_0"},
}
"""`general.file_type` -> name of the quantisation."""

TENSOR_TYPES: dict[int, str] = {
    **{0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 9: "Q8_1"},
    **{10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS"},
    **{17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S"},
    **{23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M"},
    **{30: "BF16", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0", 42: "Q2_0"},
}


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says about itself; `total` counts parameters of all tensors."""

    version: int
    architecture: str | None
    name: str | None
    context_length: int | None
    quantization: str | None
    chat_template: str | None
    bos_token: str | None
    eos_token: str | None
    total: int
    parameters: dict[str, int]
    """Elements by tensor type."""
    metadata: dict[str, Any]
    """Scalar keys, long texts left out."""

    def as_json(self) -> dict[str, Any]:
        """The API's `gguf` field; keys without a value are left out."""
        facts = {
            "total": self.total,
            "architecture": self.architecture,
            "context_length": self.context_length,
            "quantization": self.quantization,
            "chat_template": self.chat_template,
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
        }
        return {key: value for key, value in facts.items() if value is not None}


def read_gguf_header(read: Reader, size_bytes: int) -> GgufHeader:
    """Read the keys and tensor table of a GGUF file of `size_bytes`.

    Reads at most `MAX_HEADER_BYTES`. Raises `WeightHeaderError` only.
    """
    cursor = _Cursor(read, size_bytes)
    if cursor.take(4) != b"GGUF":
        raise WeightHeaderError(lazy('the file does not start with "GGUF"'))
    version = cursor.number("I")
    if version not in (2, 3):
        raise WeightHeaderError(
            lazy("GGUF version %(version)s is not read; use version 2 or 3", version=version)
        )
    tensor_count = cursor.count("tensor count", MAX_TENSORS)
    key_count = cursor.count("key count", MAX_KEYS)
    values: dict[str, Any] = {}
    for _ in range(key_count):
        key = cursor.text(MAX_NAME_BYTES)
        values[key] = cursor.value(cursor.number("I"), keep=key == _TOKENS)
    counts: Counter[str] = Counter()
    for _ in range(tensor_count):
        tensor_type, elements = _tensor(cursor)
        counts[tensor_type] += elements
    return _header(version, values, dict(counts))


def _tensor(cursor: _Cursor) -> tuple[str, int]:
    cursor.text(MAX_NAME_BYTES)
    dimension_count = cursor.number("I")
    if dimension_count > 8:
        raise WeightHeaderError(
            lazy(
                "a GGUF tensor has %(dimension_count)s dimensions; at most 8", dimension_count=dimension_count
            )
        )
    elements = math.prod(cursor.number("Q") for _ in range(dimension_count))
    if elements > MAX_COUNT:
        raise WeightHeaderError(lazy("a GGUF tensor has too many elements"))
    kind = cursor.number("I")
    cursor.number("Q")
    return TENSOR_TYPES.get(kind, f"type {kind}"), elements


def _header(version: int, values: dict[str, Any], counts: dict[str, int]) -> GgufHeader:
    def text(key: str) -> str | None:
        value = values.get(key)
        return value if isinstance(value, str) and value else None

    architecture = text("general.architecture")
    context = values.get(f"{architecture}.context_length")
    file_type = values.get("general.file_type")
    weights = {k: n for k, n in counts.items() if k not in ("F32", "F16")} or counts
    dominant = max(weights, key=lambda kind: weights[kind], default=None)
    kept = {
        key: value
        for key, value in values.items()
        if not isinstance(value, list)
        and not (isinstance(value, str) and len(value) > MAX_KEPT_CHARS)
        and not (isinstance(value, float) and not math.isfinite(value))
        and value is not None
    }
    return GgufHeader(
        version=version,
        architecture=architecture,
        name=text("general.name"),
        context_length=context if isinstance(context, int) else None,
        quantization=FILE_TYPES.get(file_type, dominant) if isinstance(file_type, int) else dominant,
        chat_template=text("tokenizer.chat_template"),
        bos_token=_token(values, "tokenizer.ggml.bos_token_id"),
        eos_token=_token(values, "tokenizer.ggml.eos_token_id"),
        total=sum(counts.values()),
        parameters=counts,
        metadata=kept,
    )


def _token(values: dict[str, Any], key: str) -> str | None:
    number, tokens = values.get(key), values.get(_TOKENS)
    if not isinstance(number, int) or not isinstance(tokens, list):
        return None
    token = tokens[number] if 0 <= number < len(tokens) else None
    return token.decode("utf-8", "replace") if isinstance(token, bytes) else None


class _Cursor:
    """Reads forward through the header in large pieces, never past its caps."""

    def __init__(self, read: Reader, size_bytes: int) -> None:
        self._read = read
        self._limit = min(size_bytes, MAX_HEADER_BYTES)
        self._position = 0
        self._chunk = b""
        self._chunk_start = 0
        self._strings_left = MAX_ARRAY_STRINGS

    def take(self, length: int) -> bytes:
        start = self._position - self._chunk_start
        if start + length > len(self._chunk):
            self._fill(length)
            start = 0
        self._position += length
        return self._chunk[start : start + length]

    def skip(self, length: int) -> None:
        self._check(length)
        self._position += length
        if self._position > self._chunk_start + len(self._chunk):
            self._chunk, self._chunk_start = b"", self._position

    def _check(self, length: int) -> None:
        if length > self._limit - self._position:
            raise WeightHeaderError(
                lazy(
                    "the GGUF header ends at byte %(limit)s, or is larger than %(max_header_bytes)s "
                    "bytes; upload the file again",
                    limit=self._limit,
                    max_header_bytes=MAX_HEADER_BYTES,
                )
            )

    def _fill(self, length: int) -> None:
        self._check(length)
        wanted = min(max(length, _CHUNK_BYTES), self._limit - self._position)
        self._chunk = self._read(self._position, wanted)
        self._chunk_start = self._position
        if len(self._chunk) < length:
            raise WeightHeaderError(lazy("the file ends inside its GGUF header; upload it again"))

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]

    def count(self, what: str, limit: int) -> int:
        value: int = self.number("Q")
        if value > limit:
            raise WeightHeaderError(
                lazy(
                    "GGUF %(what)s is %(value)s; at most %(limit)s are read",
                    what=what,
                    value=value,
                    limit=limit,
                )
            )
        return value

    def raw_text(self, limit: int) -> bytes:
        return self.take(self.count("text length", limit))

    def text(self, limit: int) -> str:
        return self.raw_text(limit).decode("utf-8", "replace")

    def value(self, kind: int, *, keep: bool = False) -> Any:
        """A scalar or text; an array is passed over, but kept as bytes where asked."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text(MAX_STRING_BYTES)
        if kind == _ARRAY:
            return self._array(keep)
        raise WeightHeaderError(lazy("GGUF value type %(kind)s is not known", kind=kind))

    def _array(self, keep: bool) -> list[bytes] | None:
        kind = self.number("I")
        length = self.count("array length", MAX_HEADER_BYTES)
        if kind in _SCALARS:
            self.skip(length * struct.calcsize(_SCALARS[kind]))
            return None
        if kind != _STRING:
            raise WeightHeaderError(
                lazy("GGUF array of type %(kind)s is not read; use text or numbers", kind=kind)
            )
        self._strings_left -= length
        if self._strings_left < 0:
            raise WeightHeaderError(
                lazy("GGUF arrays hold more than %(limit)s texts", limit=MAX_ARRAY_STRINGS)
            )
        if keep:
            return [self.raw_text(MAX_STRING_BYTES) for _ in range(length)]
        for _ in range(length):
            self.skip(self.count("text length", MAX_STRING_BYTES))
        return None
