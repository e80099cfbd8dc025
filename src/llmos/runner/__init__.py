"""The agent that takes jobs."""
