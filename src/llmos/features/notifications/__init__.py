"""Who is told what: inbox with live state, watch levels, mail and digests, webhooks, feeds.

Fed by the outbox only; a handler is idempotent, so nobody is told twice and nothing is lost.
Words: a *notification* is one event for one person, for a *reason*; a *level* (watching,
participating, muted) says how much one wants to hear of a repository, thread or namespace; a
*digest* is a mail of many; a *delivery* is one event on its way to one webhook.
"""
