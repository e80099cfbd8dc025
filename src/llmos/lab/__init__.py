"""Data, training, evaluation and serving; the only room that may use torch."""
