"""The servers that people would pick instead, each in an environment of its own."""
