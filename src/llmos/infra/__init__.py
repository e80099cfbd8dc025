"""Adapters to databases, object stores, git and other technology; no product nouns."""
