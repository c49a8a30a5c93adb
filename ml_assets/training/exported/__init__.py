"""A network as a file that is scored without torch."""
