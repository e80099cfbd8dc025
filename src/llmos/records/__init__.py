"""Evidence of a score: digests, the signed statement, the log it is written in, and how to check it all.

Words: a *statement* says what was evaluated and what it gave; a *bundle* is the folder that holds it with
the samples; the *envelope* carries the signature; a *log* is a Merkle tree of all statements an instance
signed. Used by the lab, which makes bundles, by the hub, which signs and logs them, and by
`llmos eval verify`, which needs neither. Checking needs the standard library, pydantic, cryptography for
the signature, and pyarrow in a process of its own.
"""
