"""LLMOS: a self-hosted home for an open language-model community."""

__version__ = "0.1.0"
