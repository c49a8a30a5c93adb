"""Data contracts: what a value and a row must hold to enter a table."""
