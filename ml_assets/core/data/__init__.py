"""The data that a system declares: columns, event streams, tables."""
