"""Whole days scored by the deployed model."""
