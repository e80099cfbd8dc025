"""What `git` and `git-lfs` speak: smart HTTP (run by the `git` program itself), LFS batch, transfers, locks.

Routes translate only: who may do what, and which pushes are accepted, is decided in `features/repos`.
"""
