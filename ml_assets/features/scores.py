"""Loading `<system>_scores`, the latest score of each value of an entity, from batches.

Predictions refresh it as they are logged (`ml_assets.serving.answer.latest_scores`). Both write
versions of one row, whose instant is that of the event; so whoever comes last, the latest
event's score stays, and of scores of one event the one that was given last.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pyarrow.parquet as pq

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.online_store.backend import digest_of
from ml_assets.features.online_store.counting import put_rows
from ml_assets.features.online_store.latest_scores import CREATED, TABLE, TIMESTAMP, scores_view
from ml_assets.features.store import open_backend
from ml_assets.ingest.lake import Lake

AT_ONCE = 5_000
"""Rows that are written in one transaction: predictions wait for it."""


def load_scores(settings: Settings, system: System, days: Sequence[date]) -> int:
    """Put the batch scores of these days into the online store; how many there were.

    What the store knows of a later event, or was told later of the same one, stays; so a load
    may be repeated, come late, and die half-way. A score whose key is empty is nobody's.
    Raises NotReady where a day was not scored, or before the system declared `scores_by`.
    """
    view, lake, backend = scores_view(system), Lake(settings.lake), open_backend(settings)
    columns = [*view.keys, TIMESTAMP, CREATED, *(each.name for each in view.columns)]
    for day in days:
        _require_scored(lake, system, day, columns)
    count = 0
    try:
        backend.register(view.name, digest_of(view))
        for day in days:
            schema = pq.read_schema(lake.file(system.name, TABLE, day))
            for rows in lake.portions(system.name, TABLE, schema, day, size=AT_ONCE,
                                      columns=columns):
                count += put_rows(view, backend, rows, timestamp=TIMESTAMP, created=CREATED)
    finally:
        backend.close()
    return count


def _require_scored(lake: Lake, system: System, day: date, columns: Sequence[str]) -> None:
    path, asset = lake.file(system.name, TABLE, day), f"{system.name}/{TABLE}"
    if not path.exists():
        raise NotReady(f"{asset} of {day} is not in the lake; materialise it first")
    lacking = sorted(set(columns) - set(pq.read_schema(path).names))
    if lacking:
        raise NotReady(f"{asset} of {day} lacks the columns {lacking}: it was scored before the "
                       "system declared scores_by; materialise it again")
