"""Proving who one is: passwords, browser sessions, access tokens, device sign-in, one-time links.

Neighbours: `accounts` below (people), `repos` above.
"""
