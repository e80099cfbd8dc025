"""The quick start: from a text to a trained, scored, served and discussed model in one go.

Holds no engine of its own: it submits jobs, evaluations and endpoints as a person would.
"""
