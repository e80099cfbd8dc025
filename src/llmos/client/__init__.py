"""HTTP client for an LLMOS or Hub server."""
