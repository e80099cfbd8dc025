"""`PYTHON inspect_verdict.py FOLDER`, with a Python that has inspect-ai: which eval.yaml it accepts, as JSON.

Does what inspect-ai does with a task `hf/…` before it loads data.
"""

import json
import sys
from pathlib import Path


def is_accepted(path: Path) -> bool:
    from inspect_ai._eval.task.hf import HFTask, _load_eval_yaml
    from inspect_ai._util.error import PrerequisiteError
    from pydantic import ValidationError
    from yaml import YAMLError

    try:
        # What is no mapping, or has something that is no list, ends it as well.
        tasks = _load_eval_yaml(path).get("tasks")
        made = [HFTask.model_validate(task) for task in tasks or ()]
    except (PrerequisiteError, ValidationError, YAMLError, ValueError, AttributeError, TypeError):
        return False
    return bool(made) and (len(made) == 1 or all(task.id is not None for task in made))


if __name__ == "__main__":
    print(json.dumps({path.stem: is_accepted(path) for path in sorted(Path(sys.argv[1]).glob("*.yaml"))}))
