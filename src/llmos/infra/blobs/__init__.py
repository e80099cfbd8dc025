"""Object bytes: a folder or an S3-compatible store, behind one small surface."""
