"""A few texts by the new model: what people read first."""

from __future__ import annotations

from itertools import islice
from typing import Any

from llmos.lab.data.examples import example_text
from llmos.lab.data.loader import Corpus
from llmos.lab.recipes.schema import Recipe


def write_samples(recipe: Recipe, model: Any, tokenizer: Any, corpus: Corpus) -> list[dict[str, str]]:
    """`evaluation.samples` texts with their prompts; none for models that do not write."""
    import torch

    wanted = recipe.evaluation.samples
    if not wanted or recipe.objective in ("classify", "tag", "qa", "reward"):
        return []
    prompts = list(recipe.evaluation.prompts[:wanted]) or _prompts(recipe, corpus, wanted)
    model.eval()
    torch.manual_seed(recipe.training.seed)
    with torch.no_grad():
        if recipe.objective == "mlm":
            return [_fill(model, tokenizer, prompt) for prompt in prompts]
        return [_write(recipe, model, tokenizer, prompt) for prompt in prompts]


def _prompts(recipe: Recipe, corpus: Corpus, wanted: int) -> list[str]:
    part = "validation" if corpus.statistics.validation else "train"
    examples = list(islice(corpus.examples(part), wanted))  # type: ignore[arg-type]
    if recipe.objective in ("summarize", "translate"):
        return [str(e.get("source") or e.get("text") or "") for e in examples]
    texts = [str(e.get("prompt") or _first_turn(e) or example_text(e)) for e in examples]
    if recipe.objective in ("sft", "dpo", "kto", "orpo"):
        return texts
    return [_beginning(text, 200 if recipe.objective in ("mlm", "seq2seq") else 24) for text in texts]


def _first_turn(example: dict[str, Any]) -> str:
    turns = example.get("messages")
    return str(turns[0].get("content", "")) if isinstance(turns, list) and turns else ""


def _beginning(text: str, chars: int) -> str:
    """The first words, about `chars` characters; a line of verse at most."""
    line = text.strip().split("\n")[0]
    return line if len(line) <= chars else line[:chars].rsplit(" ", 1)[0]


def _write(recipe: Recipe, model: Any, tokenizer: Any, prompt: str) -> dict[str, str]:
    import torch

    is_chat = recipe.objective in ("sft", "dpo", "kto", "orpo") and tokenizer.chat_template
    is_pair = recipe.objective in ("summarize", "translate", "seq2seq")
    if is_chat:
        turns = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    else:
        text = prompt
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    first = [] if is_chat or is_pair or tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    last = [tokenizer.eos_token_id] if is_pair else []
    room = max(8, (recipe.training.sequence_length or 512) - recipe.evaluation.sample_tokens)
    inputs = torch.tensor([[*first, *ids[:room], *last]], device=model.device)
    out = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=recipe.evaluation.sample_tokens,
        do_sample=not is_pair,
        temperature=0.8 if not is_pair else None,
        top_k=50 if not is_pair else None,
        pad_token_id=tokenizer.pad_token_id,
    )
    new = out[0] if is_pair else out[0, inputs.shape[1] :]
    return {"prompt": prompt, "text": tokenizer.decode(new, skip_special_tokens=True)}


def _fill(model: Any, tokenizer: Any, prompt: str) -> dict[str, str]:
    """Every seventh token hidden, and what the model puts there."""
    import torch

    most = min(tokenizer.model_max_length, 512)
    found = tokenizer(prompt, truncation=True, max_length=most)["input_ids"]
    ids = torch.tensor([found], device=model.device)
    hidden = torch.arange(3, max(ids.shape[1] - 1, 4), 7)
    hidden = hidden[hidden < ids.shape[1]]
    masked = ids.clone()
    masked[0, hidden] = tokenizer.mask_token_id
    out = model(input_ids=masked)
    logits = out.prediction_logits if hasattr(out, "prediction_logits") else out.logits
    filled = masked.clone()
    filled[0, hidden] = logits[0, hidden].argmax(-1)
    return {"prompt": tokenizer.decode(masked[0]), "text": tokenizer.decode(filled[0])}
