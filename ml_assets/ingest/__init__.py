"""Events come in: recorded history, the API's event log, the lake, data contracts."""
