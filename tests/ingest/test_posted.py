"""A request means to us what it means to Python's own parser."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import example, given

from ml_assets.ingest.posted import read_json
from tests.strategies import almost_json


def told_apart(value: object) -> object:
    """`value` so that equal means the same types, the same bits and the same order of names."""
    if isinstance(value, dict):
        return "object", [(name, told_apart(each)) for name, each in value.items()]
    if isinstance(value, list):
        return "array", [told_apart(each) for each in value]
    if isinstance(value, float):
        return "float", "nan" if value != value else struct.pack("d", value)
    return type(value).__name__, value


@given(almost_json())
@example("-0")
@example("-0.0")
@example("1e400")
@example("[NaN, Infinity, -Infinity]")
@example("9007199254740993.0")
@example("2.4703282292062327e-324")
@example("2.4703282292062328e-324")
@example("18446744073709551616")
@example("1" * 400)
@example("1" * 5000)
@example('{"a": 1, "b": 2, "a": 3}')
@example('"\\ud800"')
@example('"\\ud83d\\ude00"')
@example('"\ud800"')
@example('"\x1f"')
@example("\ufeff{}")
@example("{}\x00")
@example("\xa0{}")
@example("[" * 300 + "]" * 300)
@example("[" * 100_000)
def test_a_text_says_what_python_reads_in_it(posted: str) -> None:
    """Also that it is none: what the API admits, code that uses `json` can read later."""
    try:
        expected = json.loads(posted)
    except (ValueError, RecursionError) as error:
        with pytest.raises(type(error)):
            read_json(posted)
    else:
        assert told_apart(read_json(posted)) == told_apart(expected)
