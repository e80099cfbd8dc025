"""Shared parts of the tests: a live server, people, databases."""
