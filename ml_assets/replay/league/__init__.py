"""The time machine's league: how good a retraining policy is beside what it costs."""
