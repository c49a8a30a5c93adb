"""What watches the loop: drift, live quality and parity, one report of each a day."""
