"""Where the event log is kept: in a SQLite file, or in PostgreSQL."""
