"""Events from a message broker into the log, and what the log holds out to one."""
