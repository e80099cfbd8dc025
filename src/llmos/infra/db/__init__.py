"""SQLite (WAL) or PostgreSQL behind SQLAlchemy; every difference of dialect lives here."""
