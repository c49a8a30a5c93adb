"""What `benchmarks.fuzz` is made of."""
