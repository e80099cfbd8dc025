"""Why this token: what attention looked at, and which tokens its likelihood hangs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from llmos.lab.serve.errors import CallError, not_a_number
from llmos.lab.serve.loading import Loaded
from llmos.lab.serve.logprobs import name, tell
from llmos.wire.serving import Explain

_TOP = 10


def explain(loaded: Loaded, call: Explain) -> dict[str, Any]:
    """Raises CallError for tokens the model does not know and a position outside of them."""
    ids = loaded.checked_ids("ids", list(call.ids))
    if call.position >= len(ids):
        raise CallError(
            f"position is {call.position}, and there are {len(ids)} tokens (0 to {len(ids) - 1}).",
            param="position",
        )
    if len(ids) > loaded.context_tokens:
        raise CallError(
            f"There are {len(ids)} tokens, and this model reads {loaded.context_tokens} at once.",
            code="context_length_exceeded",
            param="ids",
        )
    model = loaded.model
    before = torch.tensor([ids[: call.position]], device=model.device)
    with _eager(model), torch.enable_grad():
        inputs = model.get_input_embeddings()(before).detach().requires_grad_(True)
        made = model(inputs_embeds=inputs, output_attentions=True, use_cache=False)
        logits = made.logits[0, -1:]
        logprob = torch.log_softmax(logits.float(), dim=-1)[0, ids[call.position]]
        if not bool(torch.isfinite(logprob)):
            raise not_a_number()
        (slope,) = torch.autograd.grad(logprob, inputs)
    told = tell(loaded.spelling, logits.detach(), [ids[call.position]], _TOP)[0]
    return {
        "tokens": [name(loaded.spelling, token) for token in ids],
        "logprob": told["logprob"],
        "top": told["top"],
        "attention": [
            layer[0, :, -1].float().mean(dim=0).tolist()
            for layer in made.attentions or ()
            if layer is not None
        ],
        "gradient": (inputs.detach() * slope).float().sum(dim=-1)[0].tolist(),
    }


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    """Attention whose weights can be looked at, on the same parameters."""
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(usual)
