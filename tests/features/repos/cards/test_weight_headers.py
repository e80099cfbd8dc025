"""Headers of safetensors and GGUF files: real ones, and hostile ones."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from llmos.features.repos.cards.gguf import read_gguf_header
from llmos.features.repos.cards.weights import (
    MAX_HEADER_BYTES,
    Reader,
    WeightHeaderError,
    read_safetensors_header,
    read_safetensors_index,
    safetensors_json,
    sum_parameters,
)


def reader(data: bytes) -> Reader:
    return lambda offset, length: data[offset : offset + length]


def read_st(data: bytes) -> Any:
    return read_safetensors_header(reader(data), len(data))


def raw_st(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_file_written_by_the_library() -> None:
    data = save(
        {
            "embed.weight": np.zeros((5, 4), dtype=np.float32),
            "head.weight": np.zeros((4, 2), dtype=np.float16),
            "step": np.zeros((), dtype=np.int64),
            "nothing": np.zeros((0, 3), dtype=np.float32),
        },
        metadata={"format": "pt"},
    )
    header = read_st(data)
    assert header.parameters == {"F32": 20, "F16": 8, "I64": 1}
    assert header.total == 29
    assert header.metadata == {"format": "pt"}
    by_name = {tensor.name: tensor for tensor in header.tensors}
    embed = by_name["embed.weight"]
    assert (embed.dtype, embed.shape, embed.parameter_count) == ("F32", (5, 4), 20)
    assert embed.end - embed.begin == 80
    assert safetensors_json(header.parameters) == {"parameters": header.parameters, "total": 29}


def test_small_floats_count_bits() -> None:
    entry = {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}
    assert read_st(raw_st({"a": entry}, b"12")).parameters == {"F4": 4}


GOOD = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}
HOSTILE: list[tuple[bytes, str]] = [
    (b"", "ends at byte 0"),
    (b"\x08\0\0", "ends at byte 3"),
    (struct.pack("<Q", 0), "header length is 0"),
    (struct.pack("<Q", MAX_HEADER_BYTES + 1), "header length is"),
    (struct.pack("<Q", 100) + b"{}", "does not fit"),
    (raw_st(b"nonsense"), "not valid JSON"),
    (raw_st(b"\xff\xfe"), "not valid JSON"),
    (raw_st(b"[" * 100_000), "not valid JSON"),
    (raw_st(b'{"a":' + b"9" * 10_000 + b"}"), "not valid JSON"),
    (raw_st([1]), "must be a JSON object"),
    (raw_st(b'{"a":{},"a":{}}'), "names a key twice"),
    (raw_st({"__metadata__": {"a": 1}}), "must map text to text"),
    (raw_st({"a": 1}), "needs exactly"),
    (raw_st({"a": {**GOOD, "extra": 1}}, b"12"), "needs exactly"),
    (raw_st({"a": {**GOOD, "dtype": "u8"}}, b"12"), "dtype must be"),
    (raw_st({"a": {**GOOD, "shape": [-1]}}, b"12"), "shape must be"),
    (raw_st({"a": {**GOOD, "shape": [True]}}, b"12"), "shape must be"),
    (raw_st({"a": {**GOOD, "shape": [1] * 33}}, b"12"), "shape must be"),
    (raw_st({"a": {**GOOD, "shape": [2**40, 2**40]}}, b"12"), "out of range"),
    (raw_st({"a": {**GOOD, "data_offsets": [2, 0]}}, b"12"), "out of range"),
    (raw_st({"a": {**GOOD, "data_offsets": [0]}}, b"12"), "must be [begin, end]"),
    (raw_st({"a": {**GOOD, "shape": [3]}}, b"12"), "need 3 bytes, got 2"),
    (raw_st({"a": {**GOOD, "data_offsets": [1, 3]}}, b"123"), "starts at 1, expected 0"),
    (raw_st({"a": GOOD, "b": GOOD}, b"12"), "starts at 0, expected 2"),
    (raw_st({"a": GOOD}, b"123"), "the file holds 3"),
    (raw_st({"a": GOOD}, b"1"), "the file holds 1"),
]


@pytest.mark.parametrize(("data", "part"), HOSTILE, ids=[part for _, part in HOSTILE])
def test_hostile_safetensors(data: bytes, part: str) -> None:
    with pytest.raises(WeightHeaderError) as caught:
        read_st(data)
    assert part in caught.value.message
    assert caught.value.status == 400


def test_sharded_model_is_summed() -> None:
    first = read_st(save({"a": np.zeros(3, dtype=np.float32)}))
    second = read_st(save({"b": np.zeros(4, dtype=np.float32), "c": np.zeros(2, dtype=np.int8)}))
    assert sum_parameters([first, second]) == {"F32": 7, "I8": 2}
    index = {
        "metadata": {"total_size": 30},
        "weight_map": {
            "a": "model-00001-of-00002.safetensors",
            "b": "model-00002-of-00002.safetensors",
            "c": "model-00002-of-00002.safetensors",
        },
    }
    parsed = read_safetensors_index(json.dumps(index).encode())
    assert parsed.shards == tuple(f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    assert parsed.weight_map["c"] == parsed.shards[1]


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"{}",
        b'{"weight_map": {"a": 1}}',
        b'{"weight_map": {"a": "../x.safetensors"}}',
        b'{"weight_map": {"a": "x.bin"}}',
        b'{"weight_map": {}, "metadata": 3}',
    ],
)
def test_hostile_index(index: bytes) -> None:
    with pytest.raises(WeightHeaderError):
        read_safetensors_index(index)


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def string_key(key: str, value: str) -> bytes:
    return text(key) + struct.pack("<I", 8) + text(value)


def number_key(key: str, value: int) -> bytes:
    return text(key) + struct.pack("<II", 4, value)


def strings_key(key: str, values: list[str]) -> bytes:
    return text(key) + struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(text, values))


def tensor(name: str, shape: list[int], kind: int) -> bytes:
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dims + struct.pack("<IQ", kind, 0)


def gguf(keys: list[bytes], tensors: list[bytes], version: int = 3) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    return head + b"".join(keys) + b"".join(tensors)


def read_gguf(data: bytes) -> Any:
    return read_gguf_header(reader(data), len(data))


KEYS = [
    string_key("general.architecture", "llama"),
    string_key("general.name", "Tiny"),
    number_key("general.file_type", 15),
    number_key("llama.context_length", 2048),
    text("llama.rope.freq_base") + struct.pack("<If", 6, 10000.0),
    strings_key("tokenizer.ggml.tokens", ["<unk>", "<s>", "</s>", "你好"]),
    text("tokenizer.ggml.scores") + struct.pack("<IIQ4f", 9, 6, 4, 0, 0, 0, 0),
    strings_key("tokenizer.ggml.merges", ["a b"] * 50),
    number_key("tokenizer.ggml.bos_token_id", 1),
    number_key("tokenizer.ggml.eos_token_id", 2),
    string_key("tokenizer.chat_template", "{{ messages }}"),
]
TENSORS = [tensor("token_embd.weight", [64, 100], 12), tensor("norm.weight", [64], 0)]


@pytest.mark.parametrize("version", [2, 3])
def test_gguf_facts(version: int) -> None:
    header = read_gguf(gguf(KEYS, TENSORS, version) + b"\0" * 64)
    assert header.as_json() == {
        "total": 6464,
        "architecture": "llama",
        "context_length": 2048,
        "quantization": "Q4_K_M",
        "chat_template": "{{ messages }}",
        "bos_token": "<s>",
        "eos_token": "</s>",
    }
    assert (header.name, header.version) == ("Tiny", version)
    assert header.parameters == {"Q4_K": 6400, "F32": 64}
    assert header.metadata["llama.rope.freq_base"] == 10000.0
    assert "tokenizer.ggml.tokens" not in header.metadata


def test_gguf_larger_than_one_read() -> None:
    keys = [strings_key("tokenizer.ggml.tokens", ["x" * 90] * 20_000), *KEYS[:4]]
    assert read_gguf(gguf(keys, TENSORS)).context_length == 2048


def test_gguf_without_file_type_takes_the_commonest_tensor_type() -> None:
    assert read_gguf(gguf(KEYS[:2], TENSORS)).quantization == "Q4_K"
    assert read_gguf(gguf([], [tensor("a", [3], 1)])).quantization == "F16"


HEAD = b"GGUF" + struct.pack("<I", 3)
HOSTILE_GGUF: list[tuple[bytes, str]] = [
    (b"", "header ends"),
    (b"GGML\0\0\0\0", "does not start"),
    (b"GGUF\x01\0\0\0", "version 1"),
    (b"GGUF\0\0\0\x03", "version 50331648"),
    (HEAD + struct.pack("<QQ", 2**63, 0), "tensor count"),
    (HEAD + struct.pack("<QQ", 0, 2**40), "key count"),
    (HEAD + struct.pack("<QQQ", 0, 1, 2**62), "text length"),
    (gguf([text("a") + struct.pack("<I", 99)], []), "value type 99"),
    (gguf([text("a") + struct.pack("<IIQ", 9, 9, 1)], []), "array of type 9"),
    (gguf([text("a") + struct.pack("<IIQ", 9, 8, 2**60)], []), "array length"),
    (gguf([text("a") + struct.pack("<IIQ", 9, 8, 3_000_000)], []), "arrays hold more"),
    (gguf([text("a") + struct.pack("<IIQ", 9, 10, 1000)], []), "header ends"),
    (gguf([], [tensor("a", [1] * 9, 0)]), "9 dimensions"),
    (gguf([], [tensor("a", [2**62, 4], 0)]), "too many elements"),
    (gguf(KEYS, TENSORS)[:-3], "header ends"),
]


@pytest.mark.parametrize(("data", "part"), HOSTILE_GGUF, ids=[part for _, part in HOSTILE_GGUF])
def test_hostile_gguf(data: bytes, part: str) -> None:
    with pytest.raises(WeightHeaderError) as caught:
        read_gguf(data)
    assert part in caught.value.message


def test_reader_that_stops_early() -> None:
    whole = gguf(KEYS, TENSORS)
    with pytest.raises(WeightHeaderError, match="ends inside"):
        read_gguf_header(reader(whole[:40]), len(whole))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_give_one_kind_of_error(data: st.DataObject) -> None:
    arrays = {"a": np.zeros((2, 3), dtype=np.float32), "b": np.zeros(1, dtype=np.int8)}
    whole = bytearray(data.draw(st.sampled_from([gguf(KEYS, TENSORS), save(arrays)])))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for content in (bytes(whole), cut):
        for read in (read_st, read_gguf):
            try:
                header = read(content)
            except WeightHeaderError:
                continue
            assert header.total >= 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    for content in (data, b"GGUF\x03\0\0\0" + data, raw_st(data)):
        for read in (read_st, read_gguf):
            try:
                read(content)
            except WeightHeaderError:
                continue
