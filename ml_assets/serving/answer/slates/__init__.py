"""One system's way from requests to slates that are in the log before they are answered."""
