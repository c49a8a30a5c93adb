"""A candidate beside the champion on held-out events: metrics, slices, gates, plots."""
