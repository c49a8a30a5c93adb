"""A search for better values of a model's declaration, on request."""
