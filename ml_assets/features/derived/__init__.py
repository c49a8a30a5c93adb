"""Features that a function makes of an event and its other features: on-demand views."""
