"""What travels over HTTP, and how it is decoded: the ground of the server."""
