"""The prediction API, the pool of loaded models, and batch scoring with the same functions."""
