"""Brokers of our own, filled with what a system's stream is told, and a consumer to be measured."""
