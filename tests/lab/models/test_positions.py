"""Rows whose positions are told are read as the model reads rows whose positions it counts itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForMaskedLM

from llmos.lab.models.positions import first_position, longest_row
from llmos.lab.objectives.language import HiddenTokens
from llmos.lab.recipes.schema import Denoising

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
}
FROM_PADDING = (
    "roberta",
    "xlm-roberta",
    "camembert",
    "data2vec-text",
    "ibert",
    "luke",
    "mpnet",
    "roberta-prelayernorm",
)


@pytest.mark.parametrize("kind", ["bert", "albert", "electra", "nystromformer", *FROM_PADDING])
def test_the_first_position_is_the_models_own(kind: str) -> None:
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(CONFIG_MAPPING[kind](**SIZES)).eval()
    objective = HiddenTokens([], [], None, Denoising())
    objective.prepare(model)
    ids = np.arange(5, 21)
    row = {"input_ids": ids, "labels": ids, "position_ids": np.arange(16), "document_ids": np.zeros(16, int)}
    batch = objective.collate([row])
    with torch.no_grad():
        counted = model(input_ids=batch["input_ids"]).logits
        told = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"]).logits
    assert torch.allclose(told, counted, atol=1e-6)
    assert (first_position(model) > 0) == (kind in (*FROM_PADDING, "nystromformer"))


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "nystromformer", "llama", "gpt2"])
def test_the_longest_row_is_read_and_no_longer_one(kind: str) -> None:
    model = AutoModel.from_config(CONFIG_MAPPING[kind](**SIZES, bos_token_id=1, eos_token_id=2)).eval()
    most = longest_row(model)
    assert most == 40 - (2 if "roberta" in kind else 0)
    with torch.no_grad():
        model(input_ids=torch.full((1, most), 7))
        if kind in ("bert", "roberta", "xlm-roberta"):
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=torch.full((1, most + 1), 7))


def test_a_model_without_limits_has_none() -> None:
    model = AutoModel.from_config(
        CONFIG_MAPPING["t5"](vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=1)
    )
    assert (first_position(model), longest_row(model)) == (0, None)
