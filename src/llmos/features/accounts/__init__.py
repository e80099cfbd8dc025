"""People and organisations, the namespaces they own, memberships and the audit trail.

Words: a *namespace* is the first half of a repository name and belongs to a person or an
organisation; a *member* has a *role* in an organisation. Neighbour above: `auth`.
"""
