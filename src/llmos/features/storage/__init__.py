"""Large files: content-addressed objects (LFS by sha256, Xet xorbs), their bytes and their quota.

Knows nothing of repositories; `repos` above records which repository claims which object.
"""
