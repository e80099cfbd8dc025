"""Where repositories and threads are found, for the features that speak of them."""

from __future__ import annotations

from urllib.parse import quote

from llmos.features.discussions.models import Comment, Thread
from llmos.features.repos.models import Repo
from llmos.features.repos.naming import repo_path


def repo_href(repo: Repo) -> str:
    """`/datasets/ada/words`."""
    return quote(repo_path(repo.repo_type, repo.repo_name))


def thread_href(thread: Thread, comment: Comment | None = None) -> str:
    """The thread's page, at the comment if one is given (not at the description: that is its top)."""
    anchor = f"#{comment.public_id}" if comment and comment.id != thread.first_comment_id else ""
    if thread.repo is not None:
        return f"{repo_href(thread.repo)}/discussions/{thread.num}{anchor}"
    return f"/forum/{thread.id}" + (f"/-/comments/{comment.public_id}" if comment and anchor else "")
