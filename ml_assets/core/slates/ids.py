"""How the rows of a slate are named.

A request to rank is answered with a slate: items in an order. Each of them is a row like any other
event, with an id of its own, `<request id>#<position>`; so whatever is done with rows is done with
slates.
"""

from __future__ import annotations

import re

from ml_assets.core.texts import ID_LENGTH, name_fault, shown

SEPARATOR = "#"
LARGEST_SLATE = 1000
"""Rows, at most."""
REQUEST_LENGTH = ID_LENGTH - len(f"{SEPARATOR}{LARGEST_SLATE}")
"""Characters of a request's id, at most: so the ids of its rows are event ids too."""

_ROW = re.compile(rf"([^{SEPARATOR}]+){SEPARATOR}([1-9][0-9]{{0,3}})")


def row_id(request_id: str, position: int) -> str:
    """The event id of the row at a position, counted from 1."""
    return f"{request_id}{SEPARATOR}{position}"


def split(event_id: str) -> tuple[str, int] | None:
    """(request id, position) of a row of a slate; None if the id names an event of its own."""
    match = _ROW.fullmatch(event_id)
    if match is None or int(match[2]) > LARGEST_SLATE:
        return None
    return match[1], int(match[2])


def request_of(event_id: str) -> str | None:
    """Whose slate it is a row of; None of an event of its own."""
    row = split(event_id)
    return None if row is None else row[0]


def position_of(event_id: str) -> int:
    """Where a row stood; an event of its own is its only one."""
    row = split(event_id)
    return 1 if row is None else row[1]


def request_fault(request_id: str) -> str | None:
    """What keeps an id from naming a request to rank; None if nothing does."""
    if not request_id:
        return "it is empty; expected a text"
    if (fault := name_fault(request_id, REQUEST_LENGTH)) is not None:
        return fault
    if SEPARATOR in request_id:
        return (f"{shown(request_id)} has {SEPARATOR!r}, which parts request and position in the "
                "ids of rows; expected an id without")
    return None
