"""The simplest models, which any other must beat."""
