"""Projects of one's own: an empty one, a system declared from a file, what will not work in it."""
