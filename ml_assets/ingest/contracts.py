"""Data contracts: what a row must hold to enter a table, for one row and, by pandera, for many.

Rows that break the contract are set aside with the reason; the rest go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import pandas as pd

from ml_assets.core.data.columns import Column
from ml_assets.core.errors import ContractViolation, InvalidRequest
from ml_assets.core.runtime.isolation import culprits
from ml_assets.core.system import System
from ml_assets.core.texts import KEY_LENGTH, is_text, name_fault, shown, text_fault
from ml_assets.core.time import EARLIEST, LATEST, declared_instant
from ml_assets.ingest.tables import LOG_SEQ

if TYPE_CHECKING:
    import pandera.pandas as pa

LARGEST = float.fromhex("0x1.fffffep+127")
"""The largest number that a feature can be: they are float32. Beyond it a model makes no
probability of a number, so that one hostile request would make a challenger look broken."""

INSTANTS = ("event_timestamp", "accepted_at")


def fault_of(system: System, event: Mapping[str, object]) -> str | None:
    """How the columns of one event break the contract, in words; None if they keep it."""
    keys = system.keys
    for column in system.columns:
        breach = breach_of(column, event.get(column.name), is_key=column.name in keys)
        if breach is not None:
            return breach
    return None


def breach_of(column: Column, value: object, *, is_key: bool = False) -> str | None:
    """How `value` breaks the contract of one column.

    is_key: whether it names an entity, so that it is a name of `core.texts`
    """
    if column.dtype == "number":
        return _number_breach(column, value)
    if not isinstance(value, str):
        return f"{column.name} is {shown(value)}; expected a text"
    fault = name_fault(value, KEY_LENGTH) if is_key else text_fault(value)
    if fault is not None:
        return f"{column.name}: {fault}"
    if column.max_length is not None and len(value) > column.max_length:
        return (f"{column.name} has {len(value):,} characters; expected at most "
                f"{column.max_length:,}")
    return None


def _number_breach(column: Column, value: object) -> str | None:
    if not isinstance(value, float) or value != value:
        return f"{column.name} is {shown(value)}; expected a number"
    if column.minimum is not None and value < column.minimum:
        return f"{column.name} is {value:g}; expected at least {column.minimum:g}"
    if column.maximum is not None and value > column.maximum:
        return f"{column.name} is {value:g}; expected at most {column.maximum:g}"
    if abs(value) > LARGEST:
        return (f"{column.name} is {value:g}; expected at most {LARGEST:g} in size, the largest "
                "number that a feature can be")
    return None


def contract(system: System) -> pa.DataFrameSchema:
    """The contract of a system's events: declared columns, unique ids, instants in UTC."""
    import pandera.pandas as pa

    instant = pd.DatetimeTZDtype(unit="us", tz="UTC")
    happens = [pa.Check.ge(EARLIEST), pa.Check.lt(LATEST)]
    return pa.DataFrameSchema(
        {
            "event_id": pa.Column(str, pa.Check.str_length(min_value=1)),
            **{name: pa.Column(instant, happens, coerce=True) for name in INSTANTS},
            **{column.name: _column(column, column.name in system.keys)
               for column in system.columns},
        },
        strict=True,
        name=f"{system.name}/events",
    )


def _column(column: Column, is_key: bool) -> pa.Column:
    import pandera.pandas as pa

    if column.dtype == "number":
        least = -LARGEST if column.minimum is None else max(column.minimum, -LARGEST)
        most = LARGEST if column.maximum is None else min(column.maximum, LARGEST)
        return pa.Column(float, [pa.Check.ge(least), pa.Check.le(most)], nullable=False)
    checks = [pa.Check(is_text, element_wise=True, name="is_text")]
    if is_key:
        checks.append(pa.Check(lambda value: name_fault(value, KEY_LENGTH) is None,
                               element_wise=True, name="is_name"))
    if column.max_length is not None:
        checks.append(pa.Check.str_length(max_value=column.max_length))
    return pa.Column(str, checks, nullable=False)


def breaches(system: System, events: pd.DataFrame) -> dict[int, str]:
    """For each row (by position) that breaks the contract, the reason in words.

    A row is blamed for what it holds itself, whatever a check of the whole column says of the
    others. Of rows with one id the first counts. Raises nothing for bad values; a missing or
    surplus column is reported for every row. `log_seq` is the log's, and in no contract.
    """
    if events.empty:
        return {}
    events = events.drop(columns=LOG_SEQ, errors="ignore")
    expected = ["event_id", *INSTANTS, *(column.name for column in system.columns)]
    if set(expected) != set(events.columns):
        reason = (f"the columns are {sorted(map(str, events.columns))}; expected "
                  f"{sorted(expected)}")
        return dict.fromkeys(range(len(events)), reason)
    broken: dict[int, str] = {}
    seen: set[str] = set()
    rows = cast(list[dict[str, object]], events.to_dict("records"))
    for index, row in enumerate(rows):
        breach = row_breach(system, row, seen)
        if breach is not None:
            broken[index] = breach
    # What is left must be sound as columns too; if it is not, the rows at fault are found.
    schema, rest = contract(system), [each for each in range(len(events)) if each not in broken]
    faults = culprits(rest, lambda indices: _hold(schema, events, indices))
    broken |= {index: fault.reason for index, fault in faults.items()}
    return dict(sorted(broken.items()))


def row_breach(system: System, row: Mapping[str, object], seen: set[str]) -> str | None:
    """How a row of `tables.events_schema` breaks the contract; None if it keeps it.

    seen: the ids of the rows before it, to which its own is added
    """
    event_id = row.get("event_id")
    if not isinstance(event_id, str) or not event_id:
        return f"event_id is {shown(event_id)}; expected a text that is not empty"
    if event_id in seen:
        return f"event_id {shown(event_id)} was there before; an event counts once, the first"
    fault = text_fault(event_id)
    if fault is not None:
        return f"event_id: {fault}"
    breach = _instant_breach(row) or fault_of(system, row)
    if breach is None:
        seen.add(event_id)
    return breach


def _instant_breach(row: Mapping[str, object]) -> str | None:
    for name in INSTANTS:
        try:
            declared_instant(row.get(name))
        except InvalidRequest as error:
            return f"{name}: {error}"
    return None


def _hold(schema: pa.DataFrameSchema, events: pd.DataFrame, indices: Sequence[int]) -> None:
    """Raise unless the rows at `places` keep the contract as a table of their own."""
    from pandera.errors import SchemaErrors

    # Their types are their own: one odd value makes a column of many one of objects.
    rows = events.iloc[list(indices)].reset_index(drop=True).infer_objects()
    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases.itertuples()
        raise ContractViolation("; ".join(
            f"{case.column}: {shown(case.failure_case)} breaks {case.check}" for case in cases
        )) from error
