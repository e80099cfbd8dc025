"""The command a page shows beside a run trains what the run does."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from llmos.cli.root import main
from llmos.features.quickstart.recipes import training_command, training_recipe
from llmos.lab.recipes.load import load_recipe, parse_recipe


@pytest.mark.parametrize("languages", ["both", "en", "zh"])
def test_what_ran_is_what_the_line_says(
    languages: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    started: list[Any] = []
    monkeypatch.setattr("llmos.cli.lab_process.run_lab", lambda words: started.append(words) or 0)
    options = {"languages": languages, "max_minutes": 2.0, "is_private": True}
    program, *words = shlex.split(training_command("train", "ada/first-llm", options))
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert (program, done.exit_code) == ("llmos", 0), done.output
    ran = parse_recipe(yaml.safe_dump(training_recipe("train", "ada/first-llm", options)))
    assert load_recipe(Path(started[0][1])) == ran
    assert (ran.training.max_minutes, ran.training.max_epochs) == (2, 6)
