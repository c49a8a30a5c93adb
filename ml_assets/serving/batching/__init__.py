"""Requests that wait at the same moment, answered as one batch."""
