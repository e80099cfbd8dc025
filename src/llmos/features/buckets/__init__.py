"""Buckets: places for files without history, as flat lists of paths over the Xet store.

`policy` who may do what | `service` verbs | `batch` changes of files | `queries` lists and lookups |
`references` what garbage collection must know | `pages` a browser's view. A bucket belongs to a
namespace as a repository does; of `repos` it uses the roles, the claims of copies and the quota.
"""
