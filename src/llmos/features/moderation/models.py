"""Tables of moderation."""

from __future__ import annotations
