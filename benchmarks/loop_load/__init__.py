"""A made-up system of any size, and its whole loop as a measured process."""
