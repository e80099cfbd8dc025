"""The repository types of the Hub protocol and how each is spelled in URLs."""

from __future__ import annotations

from enum import StrEnum


class RepoType(StrEnum):
    """What a repository holds. `kernel` is the client's word for code and tools."""

    MODEL = "model"
    DATASET = "dataset"
    SPACE = "space"
    KERNEL = "kernel"

    @property
    def plural(self) -> str:
        """Segment used in `/api/{plural}/…` and in list pages."""
        return f"{self.value}s"

    @property
    def url_prefix(self) -> str:
        """What stands before `namespace/name` in page, resolve and git URLs."""
        return "" if self is RepoType.MODEL else f"{self.plural}/"

    @classmethod
    def from_plural(cls, plural: str) -> RepoType:
        """`models` -> MODEL. Raises ValueError for anything else."""
        return cls(plural.removesuffix("s"))


PLURALS = tuple(t.plural for t in RepoType)
