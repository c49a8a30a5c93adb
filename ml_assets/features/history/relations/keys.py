"""When a key of a spine is one of a source: what names an entity online names it here too.

An entity's name is the text of its keys (`engine.events.entity_key`). A missing or empty key
identifies no entity; a text names a whole number if it is how the number is written, so that
'7' is 7 and '07' is not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ml_assets.core.errors import InvalidRequest
from ml_assets.features.history.relations.duck import micros_of
from ml_assets.features.history.relations.refusing import REQUEST, ROWS, refused

_EXACT = 2**53
"""Whole numbers up to this size are exact as float64; beyond it several share a float."""

_WHOLE = {
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
    "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
}
_WHOLE_DECIMAL = re.compile(r"DECIMAL\(\d+, ?0\)")
_FLOATS = {"FLOAT", "DOUBLE"}


@dataclass(frozen=True)
class Key:
    """owner: whose key it is, as errors say it; sql: its value; kind: `text`, `whole` and so on.

    given: it is one of the spine
    """

    owner: str
    sql: str
    kind: str
    given: bool

    def identifies(self, sql: str) -> str:
        """SQL for whether `sql`, the key as a column, identifies an entity."""
        empty = {"text": "''", "binary": "''::blob"}.get(self.kind)
        return f"{sql} is not null{f' and {sql} <> {empty}' if empty else ''}"


def key_of(column: str, kind: str, owner: str, *, given: bool) -> Key:
    """The key in the SQL expression `column` of DuckDB's type `kind`.

    Floats are taken for the whole numbers that they hold: pandas turns a column of ids with
    gaps into floats. The query fails on one with a fraction, and on one above 2**53 in size,
    which may stand for another id.
    """
    if kind in _FLOATS:
        sound = f"{column} = trunc({column}) and abs({column}) <= {_EXACT}"
        wrong = refused(
            REQUEST if given else ROWS, f"{owner} has the value ", column,
            f"; expected a whole number of at most 2**53 in size, as several ids share a {kind} "
            "beyond it: give the key as an integer or a text",
        )
        sql = (f"case when {column} is null or isnan({column}) then null "
               f"when {sound} then {column}::bigint else {wrong}::bigint end")
        return Key(owner, sql, "whole", given)
    if kind in _WHOLE or _WHOLE_DECIMAL.fullmatch(kind):
        return Key(owner, column, "whole", given)
    if kind == "VARCHAR":
        return Key(owner, column, "text", given)
    if kind == "UUID" or kind.startswith("ENUM"):
        return Key(owner, f"{column}::varchar", "text", given)
    if kind == "BLOB":
        return Key(owner, column, "binary", given)
    if micros_of(column, kind) is not None:
        return Key(owner, column, "instant", given)
    return Key(owner, column, kind.partition("(")[0].lower(), given)


def equal(key: Key, there: Key, sql: str) -> str:
    """SQL that compares a key of a source, `there`, with one of the spine, which `sql` gives.

    Raises InvalidRequest if one can never be the other.
    """
    if key.kind == "null":
        return "false"
    if key.kind == there.kind:
        return f"{there.sql} = {sql}"
    if key.kind == "whole" and there.kind == "text":
        return f"{there.sql} = {sql}::varchar"
    if key.kind == "text" and there.kind == "whole":
        wrong = refused(REQUEST, f"{key.owner} has the value ", sql,
                        f", and {there.owner} is a whole number; expected one, as it is written")
        written = f"try_cast({sql} as hugeint)::varchar = {sql}"
        return (f"{there.sql}::varchar = "
                f"case when {written} then {sql} else {wrong} end")
    raise InvalidRequest(
        f"{key.owner} is of another type than {there.owner}: {key.kind}, expected {there.kind}"
    )
