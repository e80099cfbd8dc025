"""Hashing, signing and rate limits."""
