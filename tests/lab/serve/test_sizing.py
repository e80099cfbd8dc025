"""What the hub gives an engine is never less than the engine asks for before it loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from llmos.lab.serve.errors import CannotServe
from llmos.lab.serve.gguf import gguf_numbers
from llmos.lab.serve.sizing import parameters_in
from llmos.wire.serving_memory import limit_bytes, needed_bytes, token_bytes, weights_bytes


@pytest.mark.parametrize("engine", ["transformers", "llama.cpp", "vllm"])
@pytest.mark.parametrize(
    ("numbers", "layers", "heads"), [(10**7, 6, 5), (135 * 10**6, 30, 3), (7 * 10**9, 32, 32)]
)
def test_what_the_hub_allows_is_enough_to_start(engine: str, numbers: int, layers: int, heads: int) -> None:
    token = token_bytes(layers=layers, heads=heads, head_size=128)
    weights = weights_bytes(numbers, 0)
    assert weights == 4 * numbers
    assert needed_bytes(engine, weights, token) <= limit_bytes(engine, weights)


def test_a_gguf_file_is_counted_by_its_header(tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    writer = GGUFWriter(file, "llama")
    writer.add_uint32("llama.block_count", 2)
    writer.add_array("tokenizer.ggml.tokens", ["a", "béta", ""])
    writer.add_array("tokenizer.ggml.scores", [0.5, 1.5, 2.0])
    writer.add_string("tokenizer.chat_template", "{{ messages }}")
    writer.add_tensor("one", np.zeros((8, 5), dtype=np.float32))
    writer.add_tensor("two", np.zeros(7, dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert gguf_numbers(file) == 47
    assert parameters_in(tmp_path, "model.gguf") == (47, file.stat().st_size)
    whole = file.read_bytes()
    for broken in (b"", b"GGUF", whole[:40], b"PK" + whole[2:], whole[:8] + b"\xff" * 16 + whole[24:]):
        file.write_bytes(broken)
        with pytest.raises(CannotServe, match="no GGUF file"):
            gguf_numbers(file)
