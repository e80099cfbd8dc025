"""Small steps shared by the contract tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi


def add_regular(
    api: HfApi, repo_id: str, files: Mapping[str, bytes], *, message: str = "Add files", **options: Any
) -> str:
    """Commit files and return the commit's id."""
    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    done: CommitInfo = api.create_commit(repo_id, operations, commit_message=message, **options)
    return done.oid


def next_url(link: str) -> str:
    """The address in a `Link` header with one `next`."""
    match = re.fullmatch(r'<([^>]+)>; rel="next"', link)
    assert match is not None
    return match[1]
