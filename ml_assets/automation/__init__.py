"""Sensors and schedules: what happens by itself, when, and why."""
