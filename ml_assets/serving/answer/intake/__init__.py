"""What clients post, taken in: which of it becomes an event, and what is only told."""
