"""Events, as the engine's reference has them, as tables of the lake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from tests.features.engine.reference import Record
from tests.features.engine.strategies import Question

INSTANT = pa.timestamp("us", tz="UTC")
START = datetime(2024, 3, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EVENTS = pa.schema([
    ("customer", pa.string()), ("known_at", INSTANT), ("arrived_at", INSTANT),
    ("event_id", pa.string()), ("amount", pa.float64()), ("pages", pa.int64()),
    ("paid", pa.bool_()), ("shop", pa.string()), ("city", pa.string()),
])


def table_of(records: Sequence[Record], created: Sequence[int] | None = None) -> pa.Table:
    """The records as rows in order; entity n is customer `cn`, a negative one is missing."""
    columns = [
        pa.array([f"c{each.entity}" if each.entity >= 0 else None for each in records],
                 pa.string()),
        pa.array([each.at for each in records], pa.int64()).cast(INSTANT),
        pa.array(created or [each.at for each in records], pa.int64()).cast(INSTANT),
        pa.array([each.id for each in records], pa.string()),
        *(pa.array([each.values[field.name] for each in records], field.type)
          for field in list(EVENTS)[4:]),
    ]
    return pa.table(columns, schema=EVENTS)


def keys_of(asked: Sequence[Question]) -> pd.DataFrame:
    """Nobody is a missing key, or an empty one."""
    return pd.DataFrame({"customer": [
        f"c{each.entity}" if each.entity >= 0 else (None, "")[place % 2]
        for place, each in enumerate(asked)
    ]}, dtype=object)


def instants(numbers: Sequence[int]) -> Any:
    return np.array(numbers, dtype=np.int64)


def happened(number: int, who: int, at: float, amount: float | None, **values: Any) -> Record:
    """Event `number` of customer `who`, so many hours after the start."""
    return Record(
        entity=who, at=(START + timedelta(hours=at) - EPOCH) // timedelta(microseconds=1),
        id=f"e{number}", arrived=number,
        values={"amount": amount, "pages": None, "paid": None, "shop": None, "city": None} | values,
    )
