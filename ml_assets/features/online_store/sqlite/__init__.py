"""The online store in SQLite: a journal beside the tables, in the event log or alone."""
