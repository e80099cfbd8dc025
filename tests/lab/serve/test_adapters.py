"""Adapters are worked in as PEFT works them in, and refused where they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from lab.serve.conftest import Talk
from llmos.lab.serve.adapters import apply_adapter, is_adapter
from llmos.lab.serve.errors import CannotServe
from llmos.lab.serve.loading import load
from llmos.wire.serving import EngineSpec

# PEFT asks transformers by a name that goes away, and says that it saves what it was told to change.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing:FutureWarning", "ignore:Setting .save_embedding_layers:UserWarning"
)
LINEAR = ["q_proj", "v_proj", "up_proj", "down_proj"]
WAYS: dict[str, dict[str, Any]] = {
    "plain": {"target_modules": LINEAR, "lora_alpha": 12},
    "rslora": {"target_modules": LINEAR, "use_rslora": True},
    "dora": {"target_modules": LINEAR, "use_dora": True},
    "patterns": {
        "target_modules": LINEAR,
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"layers.0.self_attn.v_proj": 3, "up_proj": 5},
    },
    "words": {"target_modules": ["embed_tokens", "q_proj"], "modules_to_save": ["norm"]},
}


def make_adapter(plain: Any, folder: Path, **fields: Any) -> Any:
    """An adapter whose numbers are not nothing, saved by PEFT; the model with it as PEFT merges it."""
    import copy

    torch.manual_seed(3)
    model = get_peft_model(copy.deepcopy(plain), LoraConfig(r=4, task_type="CAUSAL_LM", **fields))
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, mean=0.5 if "magnitude" in name else 0.0, std=0.3)
    model.save_pretrained(str(folder))
    again = PeftModel.from_pretrained(copy.deepcopy(plain), str(folder))
    return again.merge_and_unload()  # type: ignore[operator]


@pytest.mark.parametrize("way", WAYS)
def test_weights_become_what_peft_makes_of_them(plain: Any, tiny: Path, tmp_path: Path, way: str) -> None:
    merged = make_adapter(plain, tmp_path, **WAYS[way])
    assert is_adapter(tmp_path)
    ours = load(tmp_path, EngineSpec(), lambda share: None, base=tiny).model
    with torch.inference_mode():
        ids = torch.arange(3, 20)[None]
        theirs, found = merged.eval()(ids).logits, ours(ids).logits
        assert (found - plain(ids).logits).abs().max() > 0.01
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4)


def test_an_adapter_answers(plain: Any, tiny: Path, tmp_path: Path, start: Callable[..., Talk]) -> None:
    merged = make_adapter(plain, tmp_path, **WAYS["plain"])
    ids = [5, 6, 7, 8]
    wanted = merged.eval().generate(torch.tensor([ids]), max_new_tokens=6, do_sample=False, eos_token_id=None)
    talk = start(tmp_path, base=tiny)
    frames = talk.ask(prompt=ids, max_tokens=6, temperature=0, ignore_eos=True, logprobs=0)
    said = [token["id"] for frame in frames for token in frame.get("tokens", ())]
    assert said == wanted[0, len(ids) :].tolist()


def test_an_adapter_of_another_base_is_refused(plain: Any, tiny: Path, tmp_path: Path) -> None:
    import copy

    make_adapter(plain, tmp_path, **WAYS["plain"])
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("q_proj.lora_A.weight"))
    save_file({**tensors, name: torch.zeros(4, 7)}, file)
    with pytest.raises(CannotServe, match=r"q_proj.*another base"):
        apply_adapter(copy.deepcopy(plain), tmp_path)
    save_file({name.replace("q_proj", "z_proj"): tensors[name]}, file)
    with pytest.raises(CannotServe, match=r"z_proj"):
        apply_adapter(copy.deepcopy(plain), tmp_path)
    with pytest.raises(CannotServe, match="base"):
        load(tmp_path, EngineSpec(), lambda share: None)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "IA3"}))
    with pytest.raises(CannotServe, match="LORA"):
        load(tmp_path, EngineSpec(), lambda share: None, base=tiny)
