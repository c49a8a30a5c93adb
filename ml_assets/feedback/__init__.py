"""Predictions joined with what became known about them."""
