"""Tasks of the inference API other than writing text: which one is meant, and its call."""

from __future__ import annotations

from typing import Any, get_args

from llmos.core.errors import NotFound
from llmos.protocols.openai.errors import refuse
from llmos.protocols.openai.fields import Fields
from llmos.wire.serving import MAX_INPUTS, Task

TASKS: frozenset[str] = frozenset(get_args(Task))
# The same by the names libraries gave them.
_ALIASES = {
    "embeddings": "feature-extraction",
    "conversational": "text-generation",
    "ner": "token-classification",
    "sentiment-analysis": "text-classification",
    "text2text": "text2text-generation",
}
# Fields of a body that are no parameters; all others may stand beside `inputs`.
_FRAME = frozenset({"inputs", "parameters", "options", "stream", "model", "provider"})
MAX_PARAMETERS = 64


def known_task(name: str) -> str:
    """The task an address names. NotFound."""
    found = _ALIASES.get(name, name)
    if found not in TASKS:
        raise NotFound(f"There is no task {name[:60]!r} here; there are {', '.join(sorted(TASKS))}.")
    return found


def task_of(inputs: Any, parameters: dict[str, Any], own: str) -> str:
    """What is asked for: the model's own task, unless the inputs have the form of another one."""
    if isinstance(inputs, dict):
        if "source_sentence" in inputs:
            return "sentence-similarity"
        if "question" in inputs:
            return "question-answering"
    if "candidate_labels" in parameters:
        return "zero-shot-classification"
    if "tgt_lang" in parameters:
        return "translation"
    if own == "sentence-similarity":
        return "feature-extraction"  # its inputs have no sentences to compare
    return own


def read_inputs(data: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Inputs and parameters; those of feature extraction stand beside the inputs. BadRequest."""
    body = Fields(data)
    inputs = data.get("inputs")
    if inputs is None or inputs in ("", [], {}):
        refuse("inputs", "this field is missing or empty.", "missing_required_parameter")
    if isinstance(inputs, list) and len(inputs) > MAX_INPUTS:
        refuse("inputs", f"{len(inputs)} items are too many; at most {MAX_INPUTS}.")
    parameters = {name: value for name, value in data.items() if name not in _FRAME}
    parameters |= body.object("parameters") or {}
    found = {name: value for name, value in parameters.items() if value is not None}
    if len(found) > MAX_PARAMETERS:
        refuse("parameters", f"{len(found)} are too many; at most {MAX_PARAMETERS}.")
    return inputs, found


def task_call(task: str, inputs: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"call": "task", "task": task, "inputs": inputs, "parameters": parameters}
