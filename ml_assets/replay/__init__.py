"""The time machine: recorded events as live traffic, through the real assets and API."""
