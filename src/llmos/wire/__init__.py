"""Message shapes shared by the server and the machine side."""
