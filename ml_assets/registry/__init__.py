"""Model versions and their verdicts in MLflow, deployments, and the decision between the two."""
