"""What is damaged in an installation, what to do about it, and doing it where that is safe."""
