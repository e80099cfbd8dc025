"""Where a repository's git data lies."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pygit2

from llmos.infra.git.repository import open_repo
from llmos.infra.runtime import Runtime


class HasObjectId(Protocol):
    """A repository, or anything that stands for one."""

    @property
    def object_id(self) -> str: ...


def git_folder(rt: Runtime, object_id: str) -> Path:
    """The bare folder of the repository with this `object_id`; it does not depend on the name.

    Ids begin with the time, so their last digits spread the folders evenly.
    """
    return rt.git_root / object_id[-2:] / f"{object_id}.git"


def git_path(rt: Runtime, repo: HasObjectId) -> Path:
    return git_folder(rt, repo.object_id)


def open_git(rt: Runtime, repo: HasObjectId) -> pygit2.Repository:
    """This thread's handle; RepositoryMissing if the folder is not there."""
    return open_repo(git_path(rt, repo))
