"""Faces other people designed: Hub API, git smart HTTP, git-lfs, Xet."""
