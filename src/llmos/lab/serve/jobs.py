"""Calls answered by one result: vectors, tasks, tokens, explanations.

Each is a generator that gives way between pieces of work, so that texts under way go on growing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from llmos.lab.serve.embedding import Embedder
from llmos.lab.serve.errors import CallError
from llmos.lab.serve.explaining import explain
from llmos.lab.serve.heads import Heads
from llmos.lab.serve.loading import Loaded
from llmos.lab.serve.logprobs import name
from llmos.lab.serve.pointing import Pointer
from llmos.lab.serve.writing import Ask, write
from llmos.wire.serving import Embed, Explain, RunTask, Tokenize

Job = Generator[None, None, Any]
_VECTORS = ("feature-extraction", "sentence-similarity")
_WRITES = ("text2text-generation", "summarization", "translation")
_TASKS = {
    "AutoModelForCausalLM": ("text-generation", *_VECTORS),
    "AutoModelForSeq2SeqLM": (*_WRITES, "text-generation", *_VECTORS),
    "AutoModelForMaskedLM": ("fill-mask", *_VECTORS),
    "AutoModelForSequenceClassification": ("text-classification",),
    "AutoModelForTokenClassification": ("token-classification",),
    "AutoModelForQuestionAnswering": ("question-answering",),
    "AutoModel": _VECTORS,
    "llama.cpp": ("text-generation",),
}


class Jobs:
    """What one model can be asked for besides text. `ask` has it write a text."""

    def __init__(self, loaded: Loaded, embedder: Embedder | None, ask: Ask) -> None:
        self.loaded, self.embedder, self._ask = loaded, embedder, ask
        self.heads = Heads(loaded)
        self.tasks = _TASKS[loaded.kind]
        if loaded.kind == "AutoModelForSequenceClassification" and self.heads.entailment is not None:
            self.tasks = (*self.tasks, "zero-shot-classification")

    def begin(self, call: Embed | RunTask | Tokenize | Explain) -> Job:
        if isinstance(call, Embed):
            return self._embed(call)
        if isinstance(call, RunTask):
            return self._task(call)
        return self._tokenize(call) if isinstance(call, Tokenize) else self._explain(call)

    def _embed(self, call: Embed) -> Job:
        vectors, tokens = yield from self._embedder("embed").embed(
            call.inputs, normalize=call.normalize, dimensions=call.dimensions, truncate=call.truncate
        )
        return {"embeddings": vectors, "prompt_tokens": tokens}

    def _tokenize(self, call: Tokenize) -> Job:
        if (call.text is None) == (call.messages is None):
            raise CallError("Send either `text` or `messages`, not both.", param="text")
        prompts = self.loaded.prompts
        ids = prompts.encode(call.text) if call.text is not None else prompts.chat(call.messages or [])
        yield
        return {"tokens": [name(self.loaded.spelling, token) for token in ids]}

    def _explain(self, call: Explain) -> Job:
        if self.loaded.kind != "AutoModelForCausalLM":
            raise CallError(
                "Only models that go on with text explain their tokens, served by the engine transformers.",
                code="task_not_supported",
            )
        yield
        return explain(self.loaded, call)

    def _task(self, call: RunTask) -> Job:
        if call.task not in self.tasks:
            if call.task == "zero-shot-classification" and self.heads.labels:
                self.heads.zero_shot("", {})
            raise CallError(
                f"This model is not made for {call.task}. It can be asked for: {', '.join(self.tasks)}.",
                code="task_not_supported",
                param="task",
            )
        if call.task in _WRITES:
            return (yield from write(self.loaded, call, self._ask))
        if call.task == "feature-extraction":
            return (yield from self._features(call))
        if call.task == "sentence-similarity":
            return (yield from self._similarity(call))
        found = []
        one = self._one(call.task)
        several = isinstance(call.inputs, list) and call.task != "question-answering"
        for text in call.inputs if isinstance(call.inputs, list) and several else [call.inputs]:
            found.append(one(text, dict(call.parameters)))
            yield
        if not several:
            return found[0]
        # The API's list of texts gives a list of answers; labels of a text are a list already.
        return [part[0] for part in found] if call.task == "text-classification" else found

    def _one(self, task: str) -> Callable[[Any, dict[str, Any]], Any]:
        heads = self.heads
        ways: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
            "fill-mask": heads.fill,
            "text-classification": heads.classify,
            "token-classification": heads.tag,
            "question-answering": Pointer(heads).point,
            "zero-shot-classification": heads.zero_shot,
        }
        if task not in ways:
            raise CallError(
                f"{task} is asked by the call `generate`.", code="task_not_supported", param="task"
            )
        return ways[task]

    def _features(self, call: RunTask) -> Job:
        """Vectors of texts, one each; of a single text in a list of its own."""
        texts = _texts(call.inputs, "inputs")
        wish = call.parameters
        found, _ = yield from self._embedder(call.task).embed(
            texts,
            normalize=bool(wish.get("normalize", False)),
            truncate=bool(wish.get("truncate", False)),
            dimensions=wish["dimensions"] if isinstance(wish.get("dimensions"), int) else None,  # type: ignore[arg-type]
        )
        return found

    def _similarity(self, call: RunTask) -> Job:
        """How alike each of `sentences` is to `source_sentence`, at most 1."""
        inputs: Any = call.inputs
        source = inputs.get("source_sentence") if isinstance(inputs, dict) else None
        if not isinstance(source, str) or not isinstance(inputs, dict):
            raise CallError("inputs: give {source_sentence, sentences}.", param="inputs")
        texts = _texts(inputs.get("sentences"), "inputs.sentences")
        vectors, _ = yield from self._embedder(call.task).embed([source, *texts], truncate=True)
        first = vectors[0]
        return [sum(a * b for a, b in zip(first, other, strict=True)) for other in vectors[1:]]

    def _embedder(self, what: str) -> Embedder:
        if self.embedder is None:
            raise CallError(f"This model makes no vectors of texts ({what}).", code="task_not_supported")
        return self.embedder


def _texts(value: Any, field: str) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise CallError(f"{field}: give a text, or a list of texts.", param=field)
    return texts
