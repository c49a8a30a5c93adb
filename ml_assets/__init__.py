"""Closed-loop machine learning, declared once per system and derived everywhere."""

__version__ = "0.2.0"
