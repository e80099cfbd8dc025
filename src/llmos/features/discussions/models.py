"""Tables of discussions."""

from __future__ import annotations
