"""Muon beside torch's: the same steps with the same polynomials, nearly as good ones with its own three."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from llmos.lab.train.muon import COURSE, Muon, orthogonal

TORCHS = ((3.4445, -4.7750, 2.0315),) * 5
# Of a query, of gate and up, of down, of heads fewer than the rest, of one row.
SHAPES = [(24, 24), (64, 24), (24, 64), (24, 24), (8, 24), (1, 24)]


def exact(matrix: Tensor) -> Tensor:
    """The nearest matrix with all singular values one, in double precision."""
    left, _, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    return left @ right


def weights() -> list[nn.Parameter]:
    torch.manual_seed(3)
    return [nn.Parameter(torch.randn(shape)) for shape in SHAPES]


@pytest.mark.parametrize("shape", [(16, 16), (16, 17), (16, 64)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(5)
    left, _, right = torch.linalg.svd(torch.randn(4, *shape), full_matrices=False)
    # A hundred times weaker than the strongest still counts; scale does not.
    sizes = torch.logspace(0, -1.8, 16)
    for scale in (1e-5, 1.0, 1e12):
        found = orthogonal(left * (scale * sizes) @ right)
        values = torch.linalg.svdvals(found)
        assert float(values.min()) > 0.7, scale
        assert float(values.max()) < 1.3, scale
        assert torch.nn.functional.cosine_similarity(
            found.flatten(), (left @ right).flatten(), dim=0
        ) == pytest.approx(1.0, abs=0.03)
    assert torch.equal(orthogonal(torch.zeros(2, *shape)), torch.zeros(2, *shape))


def test_close_to_what_torchs_five_steps_do() -> None:
    """The direction, against the exact one, for matrices as gradients are: a few strong directions."""
    from torch.optim._muon import _zeropower_via_newtonschulz

    torch.manual_seed(7)
    for shape in ((32, 32), (32, 96)):
        matrix = torch.randn(shape[0], 4) @ torch.randn(4, shape[1]) + 0.3 * torch.randn(shape)
        wanted = exact(matrix).flatten()
        ours = orthogonal(matrix[None])[0].double().flatten()
        theirs = _zeropower_via_newtonschulz(matrix, TORCHS[0], 5, 1e-7).double().flatten()
        near = [float(torch.nn.functional.cosine_similarity(x, wanted, dim=0)) for x in (ours, theirs)]
        assert near[0] > max(0.94, near[1] - 0.03), near


def test_with_torchs_polynomials_it_takes_torchs_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Momentum, decay, rates by shape: all as torch's, within what bf16 is apart from single precision."""
    monkeypatch.setattr("llmos.lab.train.muon.COURSE", TORCHS)
    monkeypatch.setattr("llmos.lab.train.muon._greatest", lambda fourth: torch.ones(len(fourth), 1, 1))
    monkeypatch.setattr("llmos.lab.train.muon.has_bf16_units", lambda: False)
    mine, theirs = weights(), weights()
    ours = Muon(mine, lr=0.02, weight_decay=0.1)
    torchs = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1)
    for _ in range(3):
        before = [p.detach().clone() for p in theirs]
        for a, b in zip(mine, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
            a.data.copy_(b.data)
        ours.step()
        torchs.step()
        for a, b, was in zip(mine, theirs, before, strict=True):
            assert float((a - b).detach().norm()) < 0.04 * float((b - was).detach().norm())


def test_it_goes_on_from_torchs_state_and_its_own() -> None:
    first, again = weights(), weights()
    torchs = torch.optim.Muon(first, lr=0.02)
    ours = Muon(again, lr=0.02)
    for p in first:
        p.grad = torch.ones_like(p)
    torchs.step()
    ours.load_state_dict(torchs.state_dict())
    for p, q in zip(first, again, strict=True):
        assert torch.equal(torchs.state[p]["momentum_buffer"], ours.state[q]["momentum_buffer"])
    assert len(COURSE) == 3


def test_heads_are_matrices_of_their_own() -> None:
    """Queries of three heads in one matrix move as three matrices would."""
    torch.manual_seed(2)
    whole = nn.Parameter(torch.randn(24, 24))
    parts = [nn.Parameter(block.clone()) for block in whole.detach().chunk(3)]
    together = Muon([whole], heads={id(whole): 3}, lr=0.02, weight_decay=0.1)
    apart = Muon(parts, lr=0.02, weight_decay=0.1)
    for _ in range(3):
        whole.grad = torch.randn_like(whole)
        for part, grad in zip(parts, whole.grad.chunk(3), strict=True):
            part.grad = grad.clone()
        together.step()
        apart.step()
    assert torch.allclose(whole, torch.cat(parts), atol=1e-6)


def test_queries_of_a_model_are_taken_by_heads_and_keys_by_theirs() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    from llmos.lab.recipes.schema import Optimiser
    from llmos.lab.train.optim import Both, make_optimizer

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "vocab_size": 40}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **sizes, **heads))
    choice = Optimiser(name="muon", learning_rate=0.01, weight_decay=0.1, beta2=0.95)
    both = make_optimizer(model, choice)
    assert isinstance(both, Both)
    muon = both.parts[0]
    assert isinstance(muon, Muon)
    found = {name.split(".")[-2]: muon.heads.get(id(p), 1) for name, p in model.named_parameters()}
    assert (found["q_proj"], found["k_proj"], found["v_proj"]) == (4, 2, 2)
    assert found["o_proj"] == found["up_proj"] == 1


def test_t5_moves_its_queries_as_little_as_they_are_small() -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    from llmos.lab.recipes.schema import Optimiser
    from llmos.lab.train.optim import make_optimizer

    model = T5ForConditionalGeneration(
        T5Config(vocab_size=40, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2)
    )
    choice = Optimiser(name="muon", learning_rate=0.01, weight_decay=0.1, beta2=0.95)
    rates: dict[str, float] = {}
    names = {id(p): name for name, p in model.named_parameters()}
    for group in make_optimizer(model, choice).param_groups:
        rates |= {names[id(p)]: group["lr"] for p in group["params"]}
    attention = "decoder.block.0.layer.1.EncDecAttention"
    assert rates[f"{attention}.k.weight"] == choice.muon_learning_rate
    assert rates[f"{attention}.q.weight"] == pytest.approx(choice.muon_learning_rate / 4)
    distances = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    assert rates["shared.weight"] == 0.01 < rates[distances]
    assert len(rates) == len(names)
