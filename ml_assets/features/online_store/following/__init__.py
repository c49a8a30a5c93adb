"""How the store follows the event log: what events count, loads, and the watermark."""
