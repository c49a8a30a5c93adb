"""The servers people would pick instead, each in its own environment."""
