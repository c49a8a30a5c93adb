"""What MLflow keeps of trainings and models."""
