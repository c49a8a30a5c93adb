"""One connection: what it brings, how long it may take, and how it ends."""
