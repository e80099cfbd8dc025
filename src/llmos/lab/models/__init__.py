"""Models by family and size; `heads` finds where a model turns hidden states into tokens."""
