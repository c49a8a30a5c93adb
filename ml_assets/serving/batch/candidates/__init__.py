"""Every night: which items pages are chosen from the next day."""
