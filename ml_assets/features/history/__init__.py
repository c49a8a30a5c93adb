"""Features as of any instant, computed from the lake with DuckDB."""
