"""Training sets as of the instant of each label, proved free of leakage."""
