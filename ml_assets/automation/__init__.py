"""Sensors, schedules and jobs: what runs automatically, when, and why."""
