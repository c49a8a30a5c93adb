"""The served system of `bench ranking`, and what asks it."""
