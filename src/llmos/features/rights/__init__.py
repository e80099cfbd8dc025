"""Data rights: taking a copy of what is about oneself, and deleting an account."""
