"""From the row of a data set to the question that a model is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llmos.lab.evaluate.tasks.schema import GENERATED, Task, TaskError
from llmos.lab.evaluate.tasks.templates import evaluate, literal, render

Row = dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """An example or the question itself: what is said, what follows it, what is answered."""

    text: str
    delimiter: str = ""
    answer: str | None = None
    after: str = ""


@dataclass(frozen=True)
class Question:
    """A row ready to be asked.

    `context` is text for models that continue it, `turns` the same for a chat. Where `contexts` is given,
    each choice has its own and all are followed by `continuations[0]`.
    """

    id: str
    row: Row
    turns: Sequence[Turn] = ()
    system: str = ""
    choices: Sequence[str] = ()
    continuations: Sequence[str] = ()
    contexts: Sequence[str] = ()
    target: Any = None
    references: Sequence[str] = ()
    source: str = ""
    words: Sequence[str] = ()
    fewshot_ids: Sequence[str] = ()
    fewshot_rows: Sequence[Row] = ()
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def context(self) -> str:
        return self.system + "".join(
            turn.text + turn.delimiter + (turn.answer or "") + turn.after for turn in self.turns
        )

    def messages(self) -> list[dict[str, str]]:
        """The same as messages of a chat; an answer begun already is the last one."""
        found = [{"role": "system", "content": self.system}] if self.system else []
        for turn in self.turns:
            found.append({"role": "user", "content": turn.text})
            if turn.answer is not None:
                found.append({"role": "assistant", "content": turn.answer})
        return found


class Asker:
    """Makes questions of one task. Raises TaskError naming the field, the sample and the fix."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._is_lm_eval = task.syntax == "lm-eval"

    def ask(self, row: Row, name: str, examples: Sequence[tuple[str, Row]] = ()) -> Question:
        """The question of a row after the examples (id, row)."""
        task = self.task
        if task.kind == "perplexity":
            text = self._text(task.target if task.target is not None else "{{text}}", row, "target", name)
            return Question(name, row, target=text, references=[text])
        if task.kind == "tagging":
            return self._tagging(row, name)
        choices = self._choices(task.choices, row, name)
        prompt = self._prompt(row, name)
        target = self._target(task.target, row, name, choices)
        system = self._text(task.system or task.description, row, "description", name)
        turns = [self._example(example, example_id) for example_id, example in examples]
        shared: dict[str, Any] = {
            "system": system,
            "fewshot_ids": [example_id for example_id, _ in examples],
            "fewshot_rows": [example for _, example in examples],
        }
        if isinstance(prompt, int):
            return self._by_context(row, name, prompt, choices, turns, shared)
        turns.append(self._last(row, name, prompt))
        extra = {
            part: self._text(source, row, part, name)
            for part in ("question", "passage")
            if (source := getattr(task, part)) is not None
        }
        made = Question(
            name, row, turns, choices=choices, target=target, source=prompt, extra=extra, **shared
        )
        return self._with_answers(made, choices, target)

    def _with_answers(self, made: Question, choices: list[str], target: Any) -> Question:
        task, fields = self.task, dict(made.__dict__)
        if task.kind in ("multiple_choice", "classification") and choices:
            fields["target"] = _as_index(target, choices, made.id)
            fields["continuations"] = [task.target_delimiter + choice for choice in choices]
        elif task.kind == "loglikelihood":
            fields["continuations"] = [str(target)]
        if task.kind in (*GENERATED, "qa"):
            fields["references"] = self._references(made.row, made.id, choices, target)
            fields["target"] = (
                fields["references"][0] if len(fields["references"]) == 1 else fields["references"]
            )
        return Question(**fields)

    # Parts of a row

    def _tagging(self, row: Row, name: str) -> Question:
        words = self._object(self.task.prompt, row, "prompt", name)
        tags = self._object(self.task.target, row, "target", name)
        if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
            raise TaskError(
                f"prompt, target: sample {name} needs a list of words and a list of as many tags."
            )
        if not words:
            raise TaskError(f"prompt: sample {name} has no words. Remove the row.")
        return Question(name, row, target=[str(t) for t in tags], words=[str(w) for w in words])

    def _by_context(
        self, row: Row, name: str, gold: int, choices: list[str], turns: list[Turn], shared: dict[str, Any]
    ) -> Question:
        """The choices are contexts, and all are followed by the same target."""
        end = self._text(self.task.target, row, "target", name)
        before = Question(name, row, turns, **shared).context
        contexts = [before + choice for choice in choices]
        return Question(
            name, row, turns, choices=choices, contexts=contexts, target=_as_index(gold, choices, name),
            continuations=[self.task.target_delimiter + end], **shared,
        )  # fmt: skip

    def _prompt(self, row: Row, name: str) -> str | int:
        source = self.task.prompt
        if source is None:
            return ""
        if isinstance(source, int):
            return source
        text = self._text(source, row, "prompt", name)
        return int(text) if self._is_lm_eval and text.isdigit() and self.task.choices is not None else text

    def _last(self, row: Row, name: str, prompt: str) -> Turn:
        task = self.task
        if not task.answer_prefix:
            return Turn(prompt)
        begun = self._text(task.answer_prefix, row, "answer_prefix", name)
        return Turn(prompt, task.target_delimiter if _apart(prompt, begun) else "", begun)

    def _example(self, row: Row, name: str) -> Turn:
        task, rule = self.task, self.task.fewshot
        choices = self._choices(rule.choices if rule.choices is not None else task.choices, row, name)
        source = rule.prompt if rule.prompt is not None else task.prompt
        text: Any = self._text(source, row, "prompt", name)
        target = self._target(rule.target if rule.target is not None else task.target, row, name, choices)
        if isinstance(self._prompt(row, name), int):
            text = choices[int(text)]
            choices = []
        answer = target[0] if isinstance(target, list) and target else target
        if choices and isinstance(answer, int) and task.kind != "loglikelihood":
            answer = choices[answer]
        between = rule.target_delimiter if rule.target_delimiter is not None else task.target_delimiter
        after = rule.delimiter if rule.delimiter is not None else task.fewshot_delimiter
        if task.answer_prefix:
            begun = self._text(task.answer_prefix, row, "answer_prefix", name)
            joined = begun + (" " if _apart(begun, str(answer)) else "") + str(answer)
            return Turn(text, between if _apart(text, begun) else "", joined, after)
        return Turn(text, between, str(answer), after)

    def _choices(self, source: str | list[str] | None, row: Row, name: str) -> list[str]:
        if source is None:
            return []
        if isinstance(source, list):
            return [
                self._text(choice, row, "choices", name) if "{" in choice else choice for choice in source
            ]
        found = self._object(source, row, "choices", name)
        if self._is_lm_eval and isinstance(found, str):
            found = literal(found)
        if isinstance(found, dict):
            found = list(found.values())
        if not isinstance(found, list | tuple) or not found:
            raise TaskError(f"choices: sample {name} has no list of choices, but: {found!r}. Mend the row.")
        return [str(choice) for choice in found]

    def _target(self, source: Any, row: Row, name: str, choices: list[str]) -> Any:
        if source is None or isinstance(source, int | list):
            return source
        found = self._object(source, row, "target", name)
        if self._is_lm_eval and isinstance(found, str) and source not in row:
            if found.isdigit() and choices:
                return int(found)
            if len(found) >= 2 and found[0] == "[" and found[-1] == "]":
                return literal(found)
        return found

    def _references(self, row: Row, name: str, choices: list[str], target: Any) -> list[str]:
        found = target
        if self.task.references is not None:
            found = self._object(self.task.references, row, "references", name)
        if choices and isinstance(found, int):
            found = choices[found]
        if isinstance(found, dict):
            # SQuAD keeps texts beside their places.
            found = found.get("text", [])
        texts = [str(text) for text in found] if isinstance(found, list | tuple) else [str(found)]
        if not texts and self.task.kind == "qa":
            return [""]
        if not texts or found is None or (not any(t.strip() for t in texts) and self.task.kind != "qa"):
            raise TaskError(
                f"target: sample {name} has no reference to compare with. Give the row one, or remove it.",
                data={"field": "target", "sample": name},
            )
        return texts

    # Templates

    def _object(self, source: Any, row: Row, field_name: str, name: str) -> Any:
        if self._is_lm_eval:
            return row[source] if source in row else render(str(source), row, field_name, name)
        return evaluate(str(source), row, field_name, name)

    def _text(self, source: Any, row: Row, field_name: str, name: str) -> str:
        if self._is_lm_eval and source in row:
            return str(row[source])
        return render(str(source), row, field_name, name) if source else ""


def _apart(first: str, second: str) -> bool:
    """Whether a delimiter is wanted between two texts."""
    return bool(first) and bool(second) and not (first[-1].isspace() or second[0].isspace())


def _as_index(target: Any, choices: list[str], name: str) -> Any:
    """The index of the right choice (or several)."""
    if isinstance(target, list | tuple):
        return [_as_index(part, choices, name) for part in target]
    if isinstance(target, str) and target in choices:
        return choices.index(target)
    if isinstance(target, str) and target.strip().lstrip("-").isdigit():
        target = int(target)
    if isinstance(target, bool):
        target = int(target)
    if isinstance(target, float) and target.is_integer():
        target = int(target)
    if not isinstance(target, int) or not 0 <= target < len(choices):
        raise TaskError(
            f"target: sample {name} names {target!r}, which is none of its {len(choices)} choices nor the "
            f"index of one (0 to {len(choices) - 1}). Mend the row, or the template.",
            data={"field": "target", "sample": name},
        )
    return target
