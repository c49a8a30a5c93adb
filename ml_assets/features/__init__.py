"""What the system remembers: windowed histories, the Feast stores, training sets, parity."""
