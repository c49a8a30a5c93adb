"""What goes with a stored model so that MLflow can run it where this package is not installed."""
