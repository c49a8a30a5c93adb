"""The pictures of how well answers of each kind fit."""
