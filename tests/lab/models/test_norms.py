"""Norms and rotary positions in few passes compute what transformers' many compute."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from llmos.lab.models.norms import use_whole_norms
from llmos.lab.models.rotary import use_whole_rotation

SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


@pytest.mark.parametrize("family", ["llama", "qwen"])
def test_losses_and_gradients_stay(family: str) -> None:
    torch.manual_seed(3)
    plain = (
        LlamaForCausalLM(LlamaConfig(**SIZES))
        if family == "llama"
        else Qwen2ForCausalLM(Qwen2Config(**SIZES))
    )
    for name, parameter in plain.named_parameters():
        if "norm" in name:  # as after training: ones would hide a forgotten weight
            torch.nn.init.normal_(parameter, 1.0, 0.3)
    whole = copy.deepcopy(plain)
    assert use_whole_norms(whole) == 5
    assert use_whole_rotation(whole) == 2
    assert list(whole.state_dict()) == list(plain.state_dict())
    ids = torch.randint(0, 40, (3, 17))
    positions = torch.cat([torch.arange(7), torch.arange(10)]).expand(3, 17)
    for model in (plain, whole):
        model(input_ids=ids, labels=ids, position_ids=positions, use_cache=False).loss.backward()
    for (name, one), other in zip(plain.named_parameters(), whole.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)
    twin = copy.deepcopy(whole)
    assert use_whole_norms(twin) == 5
    assert use_whole_rotation(twin) == 2
    assert type(twin.model.layers[0].self_attn) is type(whole.model.layers[0].self_attn)
    torch.testing.assert_close(twin(ids).logits, plain(ids).logits)


def test_half_precision_stays_as_it_is() -> None:
    torch.manual_seed(3)
    plain = LlamaForCausalLM(LlamaConfig(**SIZES)).bfloat16()
    whole = copy.deepcopy(plain)
    use_whole_norms(whole)
    use_whole_rotation(whole)
    ids = torch.randint(0, 40, (2, 9))
    assert torch.equal(plain(ids).logits, whole(ids).logits)


def test_other_ways_to_turn_are_left_alone() -> None:
    """Cohere turns neighbours, not halves: its function is another one."""
    from transformers import CohereConfig, CohereForCausalLM, GPT2Config, GPT2LMHeadModel

    cohere = CohereForCausalLM(
        CohereConfig(**SIZES | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2})
    )
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=32, n_layer=1, n_head=2))
    assert [use_whole_rotation(model) for model in (cohere, gpt2)] == [0, 0]
