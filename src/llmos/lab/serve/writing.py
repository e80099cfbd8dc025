"""Tasks answered by a text: a summary, a translation, another text."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from llmos.lab.serve.errors import CallError
from llmos.lab.serve.loading import Loaded
from llmos.wire.serving import Generate, RunTask

# Has the model write; gives way until it has.
Ask = Callable[[Generate], Generator[None, None, str]]
_ANSWERS = {
    "summarization": "summary_text",
    "translation": "translation_text",
    "text2text-generation": "generated_text",
}
_DEFAULT_TOKENS = 128


def write(loaded: Loaded, call: RunTask, ask: Ask) -> Generator[None, None, list[dict[str, str]]]:
    """A record a text, in the API's shape. Raises CallError for wishes that are not met."""
    texts = call.inputs if isinstance(call.inputs, list) else [call.inputs]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise CallError("inputs: give a text, or a list of texts.", param="inputs")
    wish = _wish(call.parameters)
    before = _prefix(loaded, call)
    found = []
    for text in texts:
        made = yield from ask(_generate(loaded, f"{before}{text}", wish))
        found.append({_ANSWERS[call.task]: made.strip()})
    return found


def _wish(parameters: dict[str, Any]) -> dict[str, Any]:
    inner = parameters.get("generate_parameters")
    wish = {**parameters, **(inner if isinstance(inner, dict) else {})}
    beams = wish.get("num_beams")
    if beams not in (None, 1):
        raise CallError(
            "num_beams: this engine takes the likeliest token each time; leave it out.", param="num_beams"
        )
    return wish


def _generate(loaded: Loaded, prompt: str, wish: dict[str, Any]) -> Generate:
    config = getattr(loaded.model, "generation_config", None)
    most = wish.get("max_new_tokens") or wish.get("max_length") or getattr(config, "max_new_tokens", None)
    sampled = bool(wish.get("do_sample") or wish.get("temperature"))
    fields = {
        "prompt": prompt,
        "max_tokens": min(int(most or _DEFAULT_TOKENS), loaded.context_tokens - 1),
        "min_tokens": int(wish.get("min_new_tokens") or wish.get("min_length") or 0),
        "temperature": float(wish.get("temperature") or 1.0) if sampled else 0.0,
        "top_p": float(wish.get("top_p") or 1.0),
        "top_k": int(wish.get("top_k") or 0),
        "seed": wish.get("seed"),
    }
    try:
        return Generate.model_validate(fields)
    except ValueError as error:
        raise CallError(f"parameters: {str(error).splitlines()[-2].strip()}", param="parameters") from error


def _prefix(loaded: Loaded, call: RunTask) -> str:
    """What T5 and its like want before a text, by task or by languages."""
    source, target = call.parameters.get("src_lang"), call.parameters.get("tgt_lang")
    model_type = loaded.model.config.model_type
    if call.task == "translation" and (source or target):
        if model_type not in ("t5", "mt5", "umt5"):
            raise CallError(
                "src_lang and tgt_lang: this model translates between the languages it was taught only; "
                "leave them out.",
                param="parameters.tgt_lang",
            )
        return f"translate {source or 'English'} to {target or 'German'}: "
    known = getattr(loaded.model.config, "task_specific_params", None) or {}
    for name, fields in known.items():
        if name.startswith(call.task) and isinstance(fields, dict):
            return str(fields.get("prefix") or "")
    return ""
