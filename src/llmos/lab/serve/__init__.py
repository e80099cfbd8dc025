"""The engine: one model in a process of its own that answers calls over a channel (`llmos.wire.serving`).

`channel` carries frames, `service` decides what comes next, `batch` lets many answers grow together.
"""
