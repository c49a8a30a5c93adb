"""Where the rollout record is kept: in a SQLite file, or in PostgreSQL."""
