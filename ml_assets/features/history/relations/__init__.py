"""Sources as DuckDB relations: keys, instants, types, as-of joins."""
