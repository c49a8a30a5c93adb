"""What `bench systems` measures: one module for each reference system, named as the system is.

Each has `measure(*, quick: bool) -> Iterator[Measurement]`.
"""
