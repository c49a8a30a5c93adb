"""Columns become named arrays: one pure function for training, batch and serving."""
