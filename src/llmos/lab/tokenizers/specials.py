"""The special tokens of each kind of model, and the chat template."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["decoder", "encoder", "encoder-decoder"]

# The format of ChatML. What the assistant says stands between `generation` marks, so that a trainer can
# find out which tokens to learn from.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Specials:
    """`named` is what transformers calls them (`pad_token`: …), `extra` further tokens, in id order."""

    named: dict[str, str]
    extra: tuple[str, ...] = ()
    # The tokenizers library's template of one text and of two; None adds nothing.
    single: str | None = None
    pair: str | None = None
    chat_template: str | None = field(default=None, repr=False)

    @property
    def tokens(self) -> list[str]:
        """All of them once, in the order of their ids."""
        return list(dict.fromkeys([*self.named.values(), *self.extra]))


def specials_of(role: Role, *, chat: bool = True, sentinels: int = 32) -> Specials:
    """The special tokens for a kind of model.

    A decoder gets one token for the end of a text and two around a turn of a chat; an encoder [CLS],
    [SEP] and [MASK]; an encoder-decoder a mask and `sentinels` tokens `<extra_id_n>` that stand for
    hidden spans. A conversation can be had with decoders only; `chat` says that this one knows how.
    """
    if role == "decoder":
        named = {"pad_token": "<|pad|>", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
        turns = ("<|im_start|>", "<|im_end|>")
        return Specials(named, turns, chat_template=CHAT_TEMPLATE if chat else None)
    if role == "encoder":
        named = {
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
            "bos_token": "[CLS]",
            "eos_token": "[SEP]",
        }
        return Specials(named, (), "[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1")
    named = {
        "pad_token": "<pad>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    spans = tuple(f"<extra_id_{n}>" for n in range(sentinels))
    return Specials(named, spans, "$A:0 </s>:0", "$A:0 </s>:0 $B:0 </s>:0")
