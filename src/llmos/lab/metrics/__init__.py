"""Figures of a run with their intervals, and simple models to compare it with."""
