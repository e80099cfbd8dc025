"""Measures models: tasks, engines that answer them, metrics, and the evidence that is left."""
