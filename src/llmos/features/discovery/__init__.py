"""Entrances: home, search over everything, "which model fits", pages of people and organisations.

It reads what lower features hold and owns little itself.
"""
