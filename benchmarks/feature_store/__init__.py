"""What the feature engine costs beside its peers; the door is `benchmarks/features.py`."""
