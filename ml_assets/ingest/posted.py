"""The text of a request as the object that it says, one way wherever a request is read."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_DECODER = msgspec.json.Decoder()


def read_json(posted: str) -> Any:
    """What `json.loads` gives, in a quarter of the time. Raises as that does.

    msgspec makes the same of whatever it accepts, to the type and the bit. What only Python
    accepts (NaN, 1e400, half a surrogate pair), and why a text is none, is left to Python.
    """
    try:
        return _DECODER.decode(posted)
    except (ValueError, RecursionError):
        pass
    return json.loads(posted)
