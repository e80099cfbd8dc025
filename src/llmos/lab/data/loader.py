"""`load`: from the `data` section of a recipe to examples, read once and kept as JSON Lines.

An example is a dict whose keys are the roles of the objective (`text`, `label`, `messages`, …). The
prepared examples lie in a folder named by the content of all files and the options, so that a second
run with the same data begins at once, and training reads them as a stream.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmos.lab.data.cache import cache_key
from llmos.lab.data.errors import DataError
from llmos.lab.data.examples import Example, example_text
from llmos.lab.data.prepare import Progress, Reader
from llmos.lab.data.sources import Opened, open_source
from llmos.lab.data.statistics import Statistics
from llmos.lab.recipes.schema import Data

if TYPE_CHECKING:
    from llmos.client.hub import Hub

Part = Literal["train", "validation"]

LOADER_VERSION = 2


@dataclass(frozen=True)
class Corpus:
    """Prepared data. `key` names its content; iterating gives the examples of the training part."""

    folder: Path
    key: str
    statistics: Statistics
    sources: list[dict[str, Any]]

    def __iter__(self) -> Iterator[Example]:
        return self.examples("train")

    def __len__(self) -> int:
        return self.statistics.train

    def examples(self, part: Part, *, every: int = 1) -> Iterator[Example]:
        """The examples of a part in their order, or every second, third, …, read as a stream."""
        with (self.folder / f"{part}.jsonl").open(encoding="utf-8") as file:
            yield from map(json.loads, islice(file, 0, None, every))

    def texts(
        self, part: Part = "train", *, every: int = 1, progress: Callable[[int], None] | None = None
    ) -> Iterator[str]:
        """The same as plain text: what a tokenizer learns from and bytes are counted on.

        `progress` is told after each how many bytes were given.
        """
        done = 0
        for example in self.examples(part, every=every):
            text = example_text(example)
            yield text
            if progress:
                done += len(text.encode("utf-8", "replace"))
                progress(done)


def load(
    data: Data,
    objective: str,
    *,
    cache: Path,
    base: Path | None = None,
    hub: Hub | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Read, clean and split the data of a recipe into `cache`, unless it is there already.

    Validation sources are read first, so that a copy of theirs is left out of the training part. When
    none are named, `data.held_out` of the examples is held out, chosen by their content alone.
    Raises DataError when something is wrong with the data; see `sources` and `readers`.
    """
    base = base or Path.cwd()
    opened = [open_source(source, base=base, hub=hub) for source in data.sources]
    validation = [open_source(source, base=base, hub=hub) for source in data.validation]
    key = cache_key(_identity(data, objective, opened, validation))
    folder = cache / "examples" / key
    if not (folder / "facts.json").exists():
        _prepare(folder, Reader(data, objective, progress), opened, validation)
    facts = json.loads((folder / "facts.json").read_text())
    sources = [source.facts() for source in opened + validation]
    return Corpus(folder, key, Statistics.from_json(facts["statistics"]), sources)


def _identity(data: Data, objective: str, *parts: list[Opened]) -> dict[str, Any]:
    return {
        "loader": LOADER_VERSION,
        "objective": objective,
        "files": [[[file.name, file.content_id] for o in part for file in o.files] for part in parts],
        "data": data.model_dump(exclude={"packing", "longer"}),
    }


def _prepare(folder: Path, reader: Reader, sources: list[Opened], validation: list[Opened]) -> None:
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with ExitStack() as stack:
            files = {
                name: stack.enter_context((part / f"{name}.jsonl").open("wb"))
                for name in ("train", "validation")
            }
            reader.run(files, sources, validation)
        if reader.statistics.train == 0:
            raise DataError(
                f"Nothing is left to learn from ({reader.statistics.sentence()}). "
                "Loosen data.cleaning or data.held_out, or add data."
            )
        (part / "facts.json").write_text(json.dumps({"statistics": reader.statistics.to_json()}))
        if not folder.exists():
            part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
