"""Bare git repositories: refs, trees, commits, writes, diffs and upkeep.

An adapter without product nouns: no permissions, no database. Reads and small writes go through
pygit2; whole-history work (gc, fsck, blame, counting) through the `git` program. Object ids are
40-character lower-case hex strings at every public function.
"""
