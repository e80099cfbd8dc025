"""Keeping order: flags, the queue, sanctions with an end, undo, appeals; all of it on record."""
