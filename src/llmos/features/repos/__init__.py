"""Repositories: their life cycle, content, cards and facts, access, likes, and their pages.

Words: *repo* is our row, *git_repo* the bare git repository, *revision* a branch, tag, commit
or `refs/pr/N`, *claim* the right of a repository to a large object. Neighbours: `storage`
below (bytes), `jobs` and `discussions` above.
"""
