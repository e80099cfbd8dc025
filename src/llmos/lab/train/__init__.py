"""Training: the run from recipe to published model, the trainer, losses, optimisers, checkpoints.

`plain` is a loop of a hundred lines that does the same without any of it: the one to read first, and
the oracle the tests hold the trainer against.
"""
