"""What an installation of several hosts costs for each event, and what of it cannot be shared."""
