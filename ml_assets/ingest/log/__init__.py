"""The event log: what the API has accepted."""
