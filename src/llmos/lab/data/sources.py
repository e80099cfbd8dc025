"""The files behind `data.sources`: local ones by pattern, those of a hub's data set by split."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from llmos.lab.data.errors import DataError
from llmos.lab.data.readers import SUFFIXES, check_readable
from llmos.lab.inputs import Laid, laid_input
from llmos.lab.recipes.schema import Source
from llmos.lab.samples import FOLDER as SAMPLES
from llmos.lab.samples import PREFIX, sample

if TYPE_CHECKING:
    from llmos.client.hub import Hub, RepoState

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class DataFile:
    """One file. `content_id` is the same for the same bytes; `fetch` gives a local path when needed."""

    name: str
    size_bytes: int
    content_id: str
    fetch: Callable[[], Path] = field(compare=False)


@dataclass(frozen=True)
class Opened:
    """A source with its files, and the facts a model card tells of it."""

    source: Source
    files: list[DataFile]
    dataset: str | None = None
    revision: str | None = None
    licence: str | None = None
    # Names of files that LLMOS ships; `llmos.lab.samples` says their licences.
    samples: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """JSON for the card: where the data is from, its revision and licence."""
        return {
            "dataset": self.dataset,
            "revision": self.revision,
            "licence": self.licence,
            "config": self.source.config,
            "split": self.source.split,
            "weight": self.source.weight,
            "files": [file.name for file in self.files],
            "samples": list(self.samples),
            "size_bytes": sum(file.size_bytes for file in self.files),
        }


def open_source(source: Source, *, base: Path, hub: Hub | None = None) -> Opened:
    """Find the files of `source`; those of a data set are fetched when they are read.

    Relative paths start at `base`. Raises DataError for paths, splits or configurations that are not
    there (naming those that are), and what `Hub.access_repo` raises.
    """
    if source.dataset is None:
        paths = local_files(source.files, base)
        shipped = tuple(path.name for path in paths if path.resolve().parent == SAMPLES)
        return Opened(source, [_local(path) for path in paths], samples=shipped)
    if laid := laid_input("dataset", source.dataset):
        return _open_laid(source, laid)
    if hub is None:
        from llmos.client.hub import Hub

        hub = Hub(retry_for_s=60)
    repo = hub.access_repo(source.dataset, "dataset", source.revision)
    paths_there = split_files(repo.card, [file.path for file in repo.files], source)
    by_path = {file.path: file for file in repo.files}
    files = [
        DataFile(path, by_path[path].size_bytes, by_path[path].content_id, _fetcher(hub, repo, path))
        for path in paths_there
    ]
    return Opened(source, files, repo.name, repo.commit, repo.licence)


def _open_laid(source: Source, laid: Laid) -> Opened:
    """A data set whose files a runner laid, at the commit the hub pinned for the job."""
    folder = laid.path
    paths = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    files = [_local(folder / path) for path in split_files(front_matter(folder / "README.md"), paths, source)]
    return Opened(source, files, source.dataset, laid.revision or source.revision, licence_of(folder))


def licence_of(folder: Path) -> str | None:
    """The licence that the card in a folder names in its front matter."""
    licence = front_matter(folder / "README.md").get("license")
    return licence if isinstance(licence, str) else None


def front_matter(card: Path) -> dict[str, Any]:
    """The YAML at the head of a card; {} where there is none that can be read."""
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    found = re.match(r"---\r?\n(.*?)\r?\n---", text, re.S)
    try:
        value = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return {}
    return value if isinstance(value, dict) else {}


def _fetcher(hub: Hub, repo: RepoState, path: str) -> Callable[[], Path]:
    return lambda: hub.download(repo, path)


def _local(path: Path) -> DataFile:
    check_readable(path)
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return DataFile(path.name, path.stat().st_size, digest.hexdigest(), lambda: path)


def local_files(patterns: Sequence[str], base: Path) -> list[Path]:
    """The files of paths, folders, patterns and `sample:` names, each once, sorted within a pattern."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        if pattern.startswith(PREFIX):
            found[sample(pattern.removeprefix(PREFIX))] = None
            continue
        path = base / Path(pattern).expanduser()
        if path.is_dir():
            matches = [p for p in sorted(path.rglob("*")) if p.is_file() and _is_data(p)]
        elif path.exists():
            matches = [path]
        else:
            matches = [Path(p) for p in sorted(glob.glob(str(path), recursive=True)) if Path(p).is_file()]
        if not matches:
            raise DataError(_nothing(pattern, path), data={"pattern": pattern})
        found.update(dict.fromkeys(matches))
    return list(found)


def _is_data(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES) and not path.name.startswith(".")


def _nothing(pattern: str, path: Path) -> str:
    if path.is_dir():
        return f'data: the folder "{pattern}" holds no file ending in {", ".join(SUFFIXES)}.'
    there = sorted(p.name for p in path.parent.iterdir())[:8] if path.parent.is_dir() else []
    hint = f" In {path.parent} are: {', '.join(there)}." if there else f" There is no folder {path.parent}."
    return f'data: "{pattern}" matches no file.{hint}'


def split_files(card: dict[str, Any], paths: Sequence[str], source: Source) -> list[str]:
    """The data files of one split: as the card's `configs` say, else by the names of files and folders.

    A data set whose names speak of no split has the one split `train`.
    """
    wanted = source.split or "train"
    splits = _card_splits(card, paths, source) or _named_splits(paths, source)
    if wanted not in splits:
        there = ", ".join(splits) or "no data files"
        raise DataError(
            f'The data set {source.dataset} has no split "{wanted}"; it has: {there}.',
            data={"split": wanted, "splits": list(splits)},
        )
    return splits[wanted]


def _card_splits(card: dict[str, Any], paths: Sequence[str], source: Source) -> dict[str, list[str]]:
    configs = [config for config in card.get("configs") or [] if isinstance(config, dict)]
    if not configs:
        return {}
    names = [str(config.get("config_name", "default")) for config in configs]
    default = next((n for n, c in zip(names, configs, strict=True) if c.get("default")), names[0])
    name = source.config or ("default" if "default" in names else default)
    if name not in names:
        raise DataError(
            f'The data set {source.dataset} has no configuration "{name}"; it has: {", ".join(names)}.'
        )
    entries = configs[names.index(name)].get("data_files") or []
    if isinstance(entries, str) or (entries and isinstance(entries[0], str)):
        entries = [{"split": "train", "path": entries}]
    splits: dict[str, list[str]] = {}
    for entry in entries:
        patterns = [entry["path"]] if isinstance(entry["path"], str) else entry["path"]
        matches = [path for path in paths for pattern in patterns if fnmatch(path, pattern)]
        splits[str(entry.get("split", "train"))] = list(dict.fromkeys(matches))
    return splits


_SPLIT_WORDS = {"train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test"}
_SPLIT_WORDS |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")


def _named_splits(paths: Sequence[str], source: Source) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {}
    data = [p for p in paths if _is_data(Path(p)) and Path(p).name.lower() != "readme.md"]
    if source.config:
        data = [path for path in data if source.config in Path(path).parts]
    # Prose beside tables is documentation, not data.
    tables = [path for path in data if not path.lower().endswith((".md", ".rst"))]
    for path in tables or data:
        words = re.split(r"[/._\- ]+", path.lower())
        split = next((_SPLIT_WORDS[word] for word in words if word in _SPLIT_WORDS), "train")
        splits.setdefault(split, []).append(path)
    return splits
