"""What a model is fitted to and judged on: rows with labels, in memory or in a file."""
