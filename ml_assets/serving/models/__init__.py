"""The loaded model versions and how they score."""
