"""The same small community as for discovery."""

from features.discovery.conftest import town

__all__ = ["town"]
