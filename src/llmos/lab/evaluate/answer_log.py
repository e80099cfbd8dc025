"""What was answered already, kept beside the result until it is whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from llmos.lab.evaluate.answers import Answer
from llmos.records.canonical import digest

NAME = "answers.jsonl"


class AnswerLog:
    """`with AnswerLog(folder, about, keys) as log`: answers by the number of their question.

    `keys` name the questions; an answer to another one is left out. A log of another model, task or manner
    (`about` says what counts) is begun anew. A line that was cut off by the end of a process is left out.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any], keys: Sequence[str]) -> None:
        self.path = folder / NAME
        self._about = digest(dict(about))
        self._keys = list(keys)
        self._file: IO[str] | None = None
        self.found: dict[int, Answer] = {}

    def __enter__(self) -> AnswerLog:
        lines = self._lines()
        numbers = {key: number for number, key in enumerate(self._keys)}
        kept = [line for line in lines[1:] if line["key"] in numbers]
        self.found = {numbers[line["key"]]: Answer(**line["answer"]) for line in kept}
        draft = self.path.with_name(f".{NAME}")
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps({"about": self._about}) + "\n")
            file.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in kept)
        draft.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()

    def add(self, answers: Mapping[int, Answer]) -> None:
        """Keep these; after this they survive the end of the process."""
        assert self._file is not None
        for number, answer in answers.items():
            line = {"key": self._keys[number], "answer": answer.to_json()}
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
        self.found.update(answers)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _lines(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        found: list[dict[str, Any]] = []
        with self.path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    found.append(json.loads(line))
                except ValueError:
                    break
        return found if found and found[0].get("about") == self._about else []
