"""Closed-loop machine learning, declared once per system and derived everywhere."""

__version__ = "0.1.0"
