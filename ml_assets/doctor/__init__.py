"""Finds damage in an installation, says what to do about it, and repairs it if that is safe."""
