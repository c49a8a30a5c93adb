"""Values that SQL refuses, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from ml_assets.core.errors import ContractViolation, InvalidRequest
from ml_assets.core.storage.sql import literal

ROWS, REQUEST = "ml_assets, rows: ", "ml_assets, request: "
"""How a message begins: the rows of a source are at fault, or what was asked is."""


def refused(mark: str, before: str, value: str = "", after: str = "") -> str:
    """SQL, of type VARCHAR, that fails the query; the message has the SQL `value` in it."""
    said = [literal(mark + before), f"{value}::varchar", literal(after)] if value else [
        literal(mark + before + after)
    ]
    return f"error({' || '.join(said)})::varchar"


@contextmanager
def explained() -> Iterator[None]:
    """Turns what `refused` says into errors.

    ContractViolation for the rows of a source, InvalidRequest for what was asked.
    """
    try:
        yield
    except duckdb.InvalidInputException as error:
        for mark, kind in ((ROWS, ContractViolation), (REQUEST, InvalidRequest)):
            _, found, message = str(error).partition(mark)
            if found:
                raise kind(message) from None
        raise
