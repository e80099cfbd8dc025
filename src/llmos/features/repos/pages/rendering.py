"""Rendered texts kept in memory: a card is read far more often than it is written."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from llmos.ui.markdown import Rendered, render_markdown
from llmos.ui.notebook import Notebook, render_notebook

T = TypeVar("T")
MAX_CACHE_BYTES = 8 * 1024 * 1024


class RenderCache(Generic[T]):
    """The most recently used renderings, at most `limit_bytes` of their HTML."""

    def __init__(self, limit_bytes: int, size_of: Callable[[T], int]) -> None:
        self._limit_bytes = limit_bytes
        self._size_of = size_of
        self._entries: OrderedDict[tuple[bytes, ...], tuple[T, int]] = OrderedDict()
        self._used_bytes = 0
        self._lock = threading.Lock()

    def get_or_render(self, text: str, bases: tuple[str, str], render: Callable[[], T]) -> T:
        """What `render()` made of `text` with `bases`; it runs outside the lock."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).digest()
        key = (digest, bases[0].encode(), bases[1].encode())
        with self._lock:
            known = self._entries.get(key)
            if known is not None:
                self._entries.move_to_end(key)
                return known[0]
        made = render()
        size_bytes = self._size_of(made)
        with self._lock:
            if key not in self._entries and size_bytes <= self._limit_bytes // 4:
                self._entries[key] = (made, size_bytes)
                self._used_bytes += size_bytes
            while self._used_bytes > self._limit_bytes:
                _key, (_made, freed_bytes) = self._entries.popitem(last=False)
                self._used_bytes -= freed_bytes
        return made

    @property
    def used_bytes(self) -> int:
        return self._used_bytes


def _markdown_bytes(rendered: Rendered) -> int:
    return len(rendered.html) + 200 * len(rendered.toc) + 500


def _notebook_bytes(notebook: Notebook) -> int:
    parts = [output.html for cell in notebook.cells for output in cell.outputs]
    return sum(len(part) + 300 for part in [*parts, *(cell.html for cell in notebook.cells)])


_markdown: RenderCache[Rendered] = RenderCache(MAX_CACHE_BYTES, _markdown_bytes)
_notebooks: RenderCache[Notebook] = RenderCache(MAX_CACHE_BYTES, _notebook_bytes)


def render_card(text: str, link_base: str, image_base: str) -> Rendered:
    """`render_markdown`, remembered. The bases belong to the key: they are in every link."""
    return _markdown.get_or_render(
        text,
        (link_base, image_base),
        lambda: render_markdown(text, base_url_for_links=link_base, image_base=image_base),
    )


def render_notebook_file(text: str, link_base: str, image_base: str) -> Notebook:
    """`render_notebook`, remembered. Raises NotebookError."""
    return _notebooks.get_or_render(
        text,
        (link_base, image_base),
        lambda: render_notebook(text, base_url_for_links=link_base, image_base=image_base),
    )
