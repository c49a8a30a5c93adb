"""Simulated reigns of champions for `ml-assets bench drift`."""
