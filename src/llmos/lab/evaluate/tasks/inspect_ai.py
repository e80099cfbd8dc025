"""inspect-ai's tasks of an `eval.yaml`: accepted when inspect-ai accepts them, run when we can."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from pydantic import ValidationError

from llmos.lab.evaluate.tasks.schema import Task, TaskError, parse_task, refusal
from llmos.wire.inspect_task import ONLY_TASK, InspectSolver, InspectTask

_METRICS = {"exact": "squad_em", "f1": "squad_f1", "match": "inspect_match", "includes": "inspect_includes"}


def check_inspect(fields: dict[str, Any], where: str) -> InspectTask:
    """Raises TaskError exactly where inspect-ai refuses the task."""
    try:
        return InspectTask.model_validate(fields)
    except ValidationError as error:
        raise refusal(error, where) from error


def from_inspect(fields: dict[str, Any], where: str) -> Task:
    """The task in our shape. Raises TaskError for what inspect-ai refuses, and for what only it can run."""
    task = check_inspect(fields, where)
    solvers = [solver.name for solver in task.solvers]
    for name in solvers:
        if name in ("use_tools", "self_critique", "chain_of_thought"):
            raise _unable(where, f"solvers: {name}")
    if task.epochs > 1 or task.shuffle_choices or task.field_spec.input_image:
        wanted = "epochs" if task.epochs > 1 else "shuffle_choices" if task.shuffle_choices else "input_image"
        raise _unable(where, wanted)
    shared: dict[str, Any] = {"id": task.id or ONLY_TASK, "config": task.config, "split": task.split}
    shared |= {"syntax": "inspect-ai", "system": _system(task.solvers, where)}
    if "multiple_choice" in solvers:
        return parse_task(shared | _choice(task, where), where)
    if solvers[-1] != "generate":
        raise TaskError(f"{where}: solvers: the last one must be generate or multiple_choice.")
    return parse_task(shared | _generation(task, where), where)


def _choice(task: InspectTask, where: str) -> dict[str, Any]:
    """Asked by the likelihood of the letters, so that models answer which follow no instructions."""
    if [scorer.name for scorer in task.scorers] != ["choice"]:
        raise _unable(where, "scorers: multiple_choice with another scorer than choice")
    spec = task.field_spec
    if spec.choices is None:
        raise TaskError(f"{where}: field_spec.choices: multiple_choice needs the column of the choices.")
    source = (
        "[" + ", ".join(_column(name) for name in spec.choices) + "]"
        if isinstance(spec.choices, list)
        else _column(spec.choices)
    )
    line = f"{{{{ '{ascii_uppercase}'[loop.index0] }}}}) {{{{ choice }}}}\n"
    lines = f"{{% for choice in {source} %}}{line}{{% endfor %}}"
    return {
        "kind": "multiple_choice",
        "prompt": f"{{{{ {_column(spec.input)} }}}}\n\n{lines}\nANSWER:",
        "choices": f"{{{{ ('{ascii_uppercase}' | list)[:({source} | length)] }}}}",
        "target": _target(spec.target),
        "target_delimiter": " ",
        "metrics": ["accuracy"],
    }


def _generation(task: InspectTask, where: str) -> dict[str, Any]:
    metrics: list[Any] = []
    for scorer in task.scorers:
        if scorer.name not in _METRICS:
            raise _unable(where, f"scorers: {scorer.name}")
        metrics.append({"name": _METRICS[scorer.name], "settings": scorer.args})
    prompt = f"{{{{ {_column(task.field_spec.input)} }}}}"
    for solver in task.solvers:
        if solver.name == "prompt_template":
            template = str(solver.args.get("template", "{prompt}"))
            prompt = template.replace("{prompt}", prompt)
        elif solver.name == "user_message":
            raise _unable(where, "solvers: user_message")
    fields = {"kind": "generation", "prompt": prompt, "target": _target(task.field_spec.target)}
    return fields | {"metrics": metrics, "max_new_tokens": 256}


def _system(solvers: Sequence[InspectSolver], where: str) -> str | None:
    texts = [str(s.args.get("template", "")) for s in solvers if s.name == "system_message"]
    if any(not text for text in texts):
        raise TaskError(f"{where}: solvers: system_message needs args.template.")
    return "\n\n".join(texts) or None


def _target(target: str) -> str:
    """A letter for a number, as inspect-ai makes it; the text after "literal:" as it is."""
    if target.startswith("literal:"):
        return target.split(":")[1]
    column = _column(target)
    number = f"{column} is integer and {column} is not boolean"
    return f"{{{{ '{ascii_uppercase}'[{column}] if {number} else {column} }}}}"


def _column(name: str) -> str:
    """An expression for a column, whatever its name is."""
    if name.isidentifier():
        return name
    raise TaskError(f"field_spec: the column {name!r} must be a plain name (letters, digits, _).")


def _unable(where: str, what: str) -> TaskError:
    return TaskError(
        f"{where}: {what} is accepted but not run here; run this task with inspect-ai, and commit its result "
        "to the model's .eval_results.",
        code="NotRunHere",
    )
