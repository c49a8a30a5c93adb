"""One system's way from requests to answers that are in the log."""
