"""Tokens as the wire tells them: likelihood, alternatives, how undecided the model was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from llmos.lab.serve.text import Spelling


def tell(
    spelling: Spelling, logits: Tensor, tokens: Sequence[int], alternatives: int
) -> list[dict[str, Any]]:
    """Each of `tokens` under its row of `logits`, before temperature, penalties and bans."""
    logits = logits.float()
    norm = torch.logsumexp(logits, dim=-1, keepdim=True)
    logprobs = logits - norm
    own = logprobs.gather(1, torch.tensor(tokens, device=logits.device)[:, None]).squeeze(-1).tolist()
    # 0 * -inf is no number; what cannot be said adds nothing.
    entropy = -(logprobs.exp() * logprobs.clamp(min=-1e30)).sum(dim=-1)
    top = torch.topk(logprobs, min(max(alternatives, 1), logprobs.shape[-1]), dim=-1)
    values, indices = top.values.tolist(), top.indices.tolist()
    found = []
    for row, (token, value, undecided) in enumerate(zip(tokens, own, entropy.tolist(), strict=True)):
        told = name(spelling, token)
        told["logprob"] = _finite(value)
        told["top"] = [
            {**name(spelling, other), "logprob": _finite(likelihood)}
            for other, likelihood in zip(indices[row][:alternatives], values[row][:alternatives], strict=True)
        ]
        told["entropy"] = undecided
        found.append(told)
    return found


def name(spelling: Spelling, token: int) -> dict[str, Any]:
    own = spelling.bytes_of(token)
    return {"id": token, "text": own.decode("utf-8", "replace"), "bytes": list(own)}


def _finite(value: float) -> float:
    """JSON knows no infinity; what is less likely is told as this."""
    return max(value, -9999.0)
