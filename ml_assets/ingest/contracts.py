"""Data contracts: what a row must hold to enter a table, checked by pandera.

Rows that break the contract are set aside with the reason; the rest go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ml_assets.core.system import Column, System

if TYPE_CHECKING:
    import pandera.pandas as pa


def contract(system: System) -> pa.DataFrameSchema:
    """The contract of a system's events: declared columns, unique ids, instants in UTC."""
    import pandera.pandas as pa

    instant = pd.DatetimeTZDtype(unit="us", tz="UTC")
    return pa.DataFrameSchema(
        {
            "event_id": pa.Column(str, pa.Check.str_length(min_value=1), unique=True),
            "event_timestamp": pa.Column(instant, coerce=True),
            "accepted_at": pa.Column(instant, coerce=True),
            **{column.name: _column(column) for column in system.columns},
        },
        strict=True,
        name=f"{system.name}/events",
    )


def _column(column: Column) -> pa.Column:
    import pandera.pandas as pa

    checks = []
    if column.minimum is not None:
        checks.append(pa.Check.ge(column.minimum))
    if column.maximum is not None:
        checks.append(pa.Check.le(column.maximum))
    if column.max_length is not None:
        checks.append(pa.Check.str_length(max_value=column.max_length))
    return pa.Column(float if column.dtype == "number" else str, checks, nullable=False)


def breaches(system: System, events: pd.DataFrame) -> dict[int, str]:
    """For each row (by position) that breaks the contract, the reason in words.

    Raises nothing for bad values; a missing or surplus column is reported for every row.
    """
    from pandera.errors import SchemaErrors

    if events.empty:
        return {}
    try:
        contract(system).validate(events.reset_index(drop=True), lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        reasons: dict[int, list[str]] = {}
        for case in cases.itertuples():
            where = range(len(events)) if pd.isna(case.index) else [int(case.index)]
            text = f"{case.column}: {str(case.failure_case)[:80]!r} breaks {case.check}"
            for position in where:
                reasons.setdefault(position, []).append(text)
        return {position: "; ".join(texts) for position, texts in sorted(reasons.items())}
    return {}
