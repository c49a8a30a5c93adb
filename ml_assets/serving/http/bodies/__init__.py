"""Bodies in, answers out: one module for each kind of call."""
