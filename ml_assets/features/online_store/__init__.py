"""The state of windows and the rows of plain views, by entity."""
