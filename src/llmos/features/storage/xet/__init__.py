"""The Xet store: files as runs of chunks in immutable xorbs, so that equal bytes are kept once.

`xorbs` takes and keeps xorbs | `shards` proves and records files | `reading` gives their bytes back |
`hot` raw copies of files just read | `dedup` tells a namespace what it has | `digests` checks the
SHA-256 of files | `gc` and `scrub` look after all that. Knows nothing of repositories: a
*scope* is the id of the namespace on whose behalf something is stored.
"""
