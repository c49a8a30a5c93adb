"""What the feature engine costs beside its peers; the entry point is `benchmarks/features.py`."""
