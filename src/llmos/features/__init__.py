"""The product: one folder per feature, each with services, policies, queries and faces."""
