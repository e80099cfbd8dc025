"""Who is told what: inbox with live state, watch levels, mail and digests, webhooks, feeds.

Fed by the outbox only; a handler is idempotent, so nobody is told twice and nothing is lost.
"""
