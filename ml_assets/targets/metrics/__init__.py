"""What answers of each kind are worth, for many weightings of the rows at once."""
