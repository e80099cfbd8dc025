"""Where a language model's last hidden states become tokens, family by family.

With that known the loss is computed chunk by chunk, and only at the tokens that count. Families not
listed here go through the model's own loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Head:
    """`body(**inputs)` gives hidden states and, of models with a second objective, its logits.

    `transform` makes of the hidden states that count what the projection takes.
    """

    body: Callable[..., tuple[Tensor, Tensor | None]]
    projection: nn.Linear
    transform: Callable[[Tensor], Tensor] = lambda hidden: hidden
    added: Callable[[], Tensor | None] = lambda: None

    @property
    def bias(self) -> Tensor | None:
        return self.projection.bias if self.projection.bias is not None else self.added()


def find_head(model: Any) -> Head | None:
    """The head of a causal, masked or encoder-decoder model; None when its family is not known here."""
    name = type(model).__name__
    finder = _FINDERS.get(name)
    return None if finder is None else finder(model)


def _decoder(model: Any) -> Head:
    return Head(_states(model.model), model.lm_head)


def _gpt2(model: Any) -> Head:
    return Head(_states(model.transformer), model.lm_head)


def _bert(model: Any) -> Head:
    relation = getattr(model.cls, "seq_relationship", None)
    predictions = model.cls.predictions
    return Head(_states(model.bert, relation), predictions.decoder, predictions.transform)


def _roberta(model: Any) -> Head:
    head = model.lm_head
    transform = lambda hidden: head.layer_norm(nn.functional.gelu(head.dense(hidden)))  # noqa: E731
    return Head(_states(model.roberta), head.decoder, transform)


def _albert(model: Any) -> Head:
    head = model.predictions
    relation = getattr(model, "sop_classifier", None)
    transform = lambda hidden: head.LayerNorm(head.activation(head.dense(hidden)))  # noqa: E731
    return Head(_states(model.albert, relation), head.decoder, transform)


def _t5(model: Any) -> Head:
    scale = model.config.d_model**-0.5 if model.config.scale_decoder_outputs else 1.0

    def body(*, decoder_input_ids: Tensor, **inputs: Any) -> tuple[Tensor, None]:
        encoded = model.encoder(**inputs).last_hidden_state
        mask = inputs.get("attention_mask")
        decoded = model.decoder(
            input_ids=decoder_input_ids,
            encoder_hidden_states=encoded,
            encoder_attention_mask=mask,
            use_cache=False,
        )
        return decoded.last_hidden_state, None

    return Head(body, model.lm_head, lambda hidden: hidden * scale)


def _bart(model: Any) -> Head:
    states = _states(model.model)
    return Head(states, model.lm_head, added=lambda: model.final_logits_bias.reshape(-1))


def _states(body: Any, relation: nn.Module | None = None) -> Callable[..., tuple[Tensor, Tensor | None]]:
    def run(**inputs: Any) -> tuple[Tensor, Tensor | None]:
        out = body(**inputs, use_cache=False) if _caches(body) else body(**inputs)
        return out.last_hidden_state, None if relation is None else relation(out.pooler_output)

    return run


def _caches(body: Any) -> bool:
    return body.config.model_type not in ("bert", "roberta", "xlm-roberta", "camembert", "albert")


_FINDERS: dict[str, Callable[[Any], Head]] = {
    "LlamaForCausalLM": _decoder,
    "Qwen2ForCausalLM": _decoder,
    "Qwen3ForCausalLM": _decoder,
    "GPT2LMHeadModel": _gpt2,
    "BertForMaskedLM": _bert,
    "BertForPreTraining": _bert,
    "RobertaForMaskedLM": _roberta,
    "XLMRobertaForMaskedLM": _roberta,
    "CamembertForMaskedLM": _roberta,
    "AlbertForMaskedLM": _albert,
    "AlbertForPreTraining": _albert,
    "T5ForConditionalGeneration": _t5,
    "BartForConditionalGeneration": _bart,
}
