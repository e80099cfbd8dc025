"""The byte formats of the Xet protocol: hashes, Merkle roots, xorbs, shards and byte ranges.

Pure functions over bytes: no database, no HTTP, no disk. A *chunk* is a piece of a file of at
most 128 KiB, a *xorb* an immutable pack of up to 8192 chunks, a *shard* the message that says
which chunks a xorb holds and which runs of chunks (*terms*) make a file.

`hashes` hash strings and keyed hashes | `merkle` xorb and file hashes | `chunks` the stored chunk
list of one xorb | `xorb` read, check and build xorbs | `shard` read and write shards | `verify`
the checks a server makes before it believes a shard | `ranges` plans for reading a file.
"""
