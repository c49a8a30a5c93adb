"""A training set becomes a model: encoders, torch network, fitting, export."""
