"""Training sets of many payments: ours in record batches, and as they were built before."""
