"""Composition: the ASGI application, its middleware, and the supervisor."""
