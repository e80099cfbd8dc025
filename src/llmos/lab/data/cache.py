"""Tokens on disk, memory-mapped, in a folder named by what they were made from.

`tokens.bin` holds all documents one after another (uint16 for vocabularies up to 65,536, otherwise
uint32), `starts.bin` where each begins (uint64, with the end as last entry), `mask.bin`, if there is
one, a byte a token (1: the loss counts it), `cache.json` the facts. Bytes are little-endian.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmos.lab.data.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    TokenIds = NDArray[np.unsignedinteger[Any]]
    # The token ids of one document, with a mask of the same length where the loss counts some only.
    Item = TokenIds | tuple[TokenIds, NDArray[np.uint8]]

Facts = Mapping[str, Any] | Callable[[], Mapping[str, Any]]

FORMAT = 1
_FACTS = "cache.json"


@dataclass(frozen=True)
class TokenCache:
    """The documents of a cache. `facts` is what `write_cache` was given, plus the counts."""

    folder: Path
    facts: dict[str, Any]
    tokens: TokenIds
    starts: NDArray[np.uint64]
    mask: NDArray[np.uint8] | None

    @property
    def n_documents(self) -> int:
        return len(self.starts) - 1

    @property
    def n_tokens(self) -> int:
        return int(self.starts[-1])

    def document(self, number: int) -> TokenIds:
        return self.tokens[int(self.starts[number]) : int(self.starts[number + 1])]


def cache_key(facts: Mapping[str, Any]) -> str:
    """A name for what is made from `facts` (JSON values): 32 hex digits, the same for equal facts."""
    plain = json.dumps({"format": FORMAT, **facts}, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(plain.encode(), digest_size=16).hexdigest()


def open_cache(folder: Path) -> TokenCache | None:
    """The cache in `folder`, or None when there is none or it is not whole."""
    import numpy as np

    try:
        facts = json.loads((folder / _FACTS).read_text())
        sizes = {name: (folder / name).stat().st_size for name in facts["sizes_bytes"]}
    except (OSError, ValueError, KeyError):
        return None
    if sizes != facts["sizes_bytes"]:
        return None
    mask = _mapped(folder / "mask.bin", np.uint8) if "mask.bin" in sizes else None
    tokens = _mapped(folder / "tokens.bin", np.dtype(facts["dtype"]))
    return TokenCache(folder, facts, tokens, _mapped(folder / "starts.bin", np.uint64), mask)


def _mapped(path: Path, dtype: Any) -> Any:
    import numpy as np

    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype)


def write_cache(
    items: Iterable[Item],
    folder: Path,
    *,
    vocab_size: int,
    facts: Facts | None = None,
) -> TokenCache:
    """Write `items` into `folder` and open it; a half-written cache never takes the place of a whole one.

    `facts` may be a function, called when all items are there. Empty items are left out. Raises
    DataError for no tokens at all, or an id outside the vocabulary.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        counts = _write_arrays(items, part, vocab_size)
        known = dict(facts() if callable(facts) else facts or {})
        (part / _FACTS).write_text(json.dumps({**known, **counts}, ensure_ascii=False, indent=1))
        _publish(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    cache = open_cache(folder)
    assert cache is not None
    return cache


def _write_arrays(items: Iterable[Item], part: Path, vocab_size: int) -> dict[str, Any]:
    import numpy as np

    dtype = np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")
    starts = [0]
    seen = np.zeros(vocab_size, dtype=bool)
    with (part / "tokens.bin").open("wb") as tokens, (part / "mask.bin").open("wb") as masks:
        for item in items:
            ids, mask = item if isinstance(item, tuple) else (item, None)
            if not len(ids):
                continue
            if int(ids.max()) >= vocab_size:
                raise DataError(
                    f"Token {int(ids.max())} is outside the vocabulary of {vocab_size}: the tokenizer "
                    "and the model do not belong together."
                )
            seen[ids] = True
            tokens.write(ids.astype(dtype, copy=False).tobytes())
            if mask is not None:
                masks.write(mask.astype(np.uint8, copy=False).tobytes())
            starts.append(starts[-1] + len(ids))
        _sync(tokens, masks)
        has_mask = masks.tell() > 0
        if has_mask and masks.tell() != starts[-1]:
            raise DataError("Some examples say which tokens to learn from and others do not.")
    if starts[-1] == 0:
        raise DataError("No tokens are left: all documents were empty or filtered out. See the statistics.")
    if not has_mask:
        (part / "mask.bin").unlink()
    with (part / "starts.bin").open("wb") as out:
        out.write(np.asarray(starts, dtype="<u8").tobytes())
        _sync(out)
    return {
        "documents": len(starts) - 1,
        "tokens": starts[-1],
        "used_tokens": int(seen.sum()),
        "vocab_size": vocab_size,
        "dtype": dtype.str,
        "sizes_bytes": {path.name: path.stat().st_size for path in part.iterdir()},
    }


def _sync(*files: Any) -> None:
    for file in files:
        file.flush()
        os.fsync(file.fileno())


def _publish(part: Path, folder: Path) -> None:
    """Put `part` in the place of `folder`; another process may do so at the same time."""
    if folder.exists() and open_cache(folder) is None:
        shutil.rmtree(folder)
    try:
        part.rename(folder)
    except OSError:
        # Somebody else was faster: the same name means the same content.
        if open_cache(folder) is None:
            raise
