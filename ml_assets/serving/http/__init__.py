"""The API over HTTP: connections, limits, addresses, bodies."""
