"""Outcomes of recorded history, as they become known day after day."""

from __future__ import annotations

from datetime import date, datetime

import pandas as pd

from ml_assets.core.system import System
from ml_assets.core.time import DAY
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import raw_schema

COLUMNS = ["event_id", "event_timestamp", "outcome", "outcome_known_at"]


class ArchivedOutcomes:
    """Reads each day of the lake's raw records once, however long an outcome takes.

    Asked for one end after the other, in order. What waits to become known is in memory: of the
    events of one maturity.
    """

    def __init__(self, lake: Lake, system: System) -> None:
        self._lake, self._system, self._schema = lake, system, raw_schema(system)
        self._read_until: date | None = None
        self._waiting = self._rows([])

    def known_before(self, end: datetime) -> pd.DataFrame:
        """Those that become known before `end` and were not given yet, at least of the day that
        ends then; the first time also earlier ones. In COLUMNS.
        """
        last = min(end.date(), self._system.calendar.go_live)  # later ones are told to the API
        first = self._read_until or (end - DAY - self._system.truth.maturity).date()
        days = [first + DAY * number for number in range((last - first).days)]
        read = self._rows(days)
        rows = pd.concat([self._waiting, read], ignore_index=True) if len(self._waiting) else read
        self._read_until = max(first, last)
        known = rows["outcome_known_at"] < end
        self._waiting = rows[~known]
        return rows[known]

    def _rows(self, days: list[date]) -> pd.DataFrame:
        rows = self._lake.read_days(self._system.name, self._system.asked.raw, self._schema, days,
                                    columns=COLUMNS)
        return rows[rows["outcome_known_at"].notna()]
