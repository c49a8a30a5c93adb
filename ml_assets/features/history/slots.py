"""Columns of a source as the engine's slots, in SQL: numbers, hashes, or only "it is there"."""

from __future__ import annotations

from ml_assets.core.codes import CODES
from ml_assets.core.errors import DeclarationError
from ml_assets.features.engine.limits import readers_of, takes_codes
from ml_assets.features.engine.windows import Slot, WindowedView
from ml_assets.features.history.relations.refusing import ROWS, refused
from ml_assets.features.history.relations.source import Relation

_FLOATS = {"FLOAT", "DOUBLE"}
_SMALL = {"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER"}
_LARGE = {"BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT"}
_EXACT = 2**53
"""Whole numbers up to this size are exact as float64."""


def slot_column(relation: Relation, view: WindowedView, slot: Slot, owner: str) -> str:
    """SQL for one value an event: float64 where NaN is missing, or uint64 where 0 is.

    A null, a NaN and an infinity are missing. A whole number beyond 2**53 fails the query. Texts
    are numbers by their codes if all functions that read them take codes.
    Raises DeclarationError where a column of this type has no such form, UnknownName where
    the source lacks the column.
    """
    column, kind = relation.column(slot.column), relation.kind(slot.column)
    if slot.form == "hash":
        return _hash(column, kind, f"{owner}: column {slot.column!r}")
    finite = f"isfinite({column}::double)" if kind in _FLOATS else f"{column} is not null"
    if slot.form == "rows":
        return f"case when {finite} then 1.0::double else 'nan'::double end"
    if kind in _LARGE:
        beyond = refused(ROWS, f"{owner}: column {slot.column!r} has the value ", column,
                         "; expected at most 2**53 in size")
        return (
            f"case when {column} between -{_EXACT} and {_EXACT} then {column}::double "
            f"when {column} is null then 'nan'::double else {beyond}::double end"
        )
    if (kind == "VARCHAR" or kind.startswith("ENUM")) and takes_codes(view, slot):
        return (f"case when {column} is null then 'nan'::double "
                f"else (md5_number_lower({column}::varchar) % {CODES} + 1)::double end")
    if kind not in _FLOATS | _SMALL and not kind.startswith("DECIMAL"):
        raise DeclarationError(
            f"{owner}: column {slot.column!r} is {kind}; {readers_of(view, slot)} needs numbers"
        )
    return f"case when {finite} then {column}::double else 'nan'::double end"


def uid_column(relation: Relation, view: WindowedView, owner: str) -> str:
    """SQL for 64 bits that stand for the event's id. A null fails the query."""
    column = relation.column(view.event_id)
    wrong = refused(ROWS, f"{owner}: column {view.event_id!r} is null; every event needs an id")
    # Where the order among equal instants matters, it is that of the engine's own `uid`. Else
    # any bits do that tell ids apart, and these are ten times as quick.
    ordered = any(each.function.ordered for each in view.aggregates)
    bits = f"md5_number_lower({column}::varchar)" if ordered else f"hash({column}::varchar)"
    return f"case when {column} is null then {wrong}::ubigint else {bits} end"


def _hash(column: str, kind: str, place: str) -> str:
    if kind not in _SMALL | _LARGE | {"VARCHAR"} and not kind.startswith("ENUM"):
        raise DeclarationError(
            f"{place} is {kind}; counting distinct values needs texts, whole numbers or booleans"
        )
    # Zero says that the value is missing, so that a hash of zero becomes one.
    hashed = f"greatest(md5_number_lower({column}::varchar), 1::ubigint)"
    return f"case when {column} is null then 0::ubigint else {hashed} end"
