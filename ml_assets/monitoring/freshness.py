"""Whether data arrive: as fresh as declared, as many as usual, and usable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median

from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.ingest.lake import Lake

HISTORY = 28
"""Days before a day that say how many rows are usual."""
FEWEST_DAYS = 7
UNUSUAL = 6.0
"""Robust standard deviations by which a day's rows may differ from those of its weekday, or of all
days before."""
QUARANTINED = 0.05
FEW = 10
"""See `ingest.assets`: from this share on, unless they are this few, unusable records are a
fault."""


@dataclass(frozen=True, kw_only=True)
class DataFault:
    """table: whose; since: from when on; says: what is wrong; expected: in words"""

    table: str
    since: datetime
    says: str
    expected: str


def data_faults(system: System, settings: Settings, now: datetime) -> list[DataFault]:
    """What is wrong at `now` with the streams and tables of a system, the oldest first."""
    lake, found = Lake(settings.lake), list[DataFault]()
    for stream in system.streams:
        days = lake.days(system.name, stream.table)
        found += _stale(stream.table, days, stream.fresh_within, now)
        if days:
            found += _volume(system, lake, stream.table, days)
            found += _quarantined(system, lake, stream.table, stream.quarantine, days[-1])
    for table in system.tables:
        days = lake.days(system.name, table.name)
        found += _stale(table.name, days, table.fresh_within, now)
    return sorted(found, key=lambda each: each.since)


def stale_since(
    days: Sequence[date], within: timedelta | None, now: datetime
) -> datetime | None:
    """Since when the latest day is older than declared; None if it is not, or nothing is declared.

    days: those that are ingested; a day is known at its end
    """
    if within is None or not days:
        return None
    due = midnight(days[-1]) + DAY + within
    return due if due < now else None


def _stale(
    table: str, days: Sequence[date], within: timedelta | None, now: datetime
) -> list[DataFault]:
    since = stale_since(days, within, now)
    if since is None or within is None:
        return []
    return [DataFault(
        table=table, since=since, says=f"nothing newer than {days[-1]} has been ingested",
        expected=f"the next day within {within} of its end")]


def usual(counts: Sequence[int]) -> tuple[float, float] | None:
    """The least and most rows of a usual day; None if too few days were there.

    counts: of the days before, the latest last. Same weekdays are compared if there are four of
    them; the spread is the median deviation, and at least Poisson's.
    """
    if len(counts) < FEWEST_DAYS:
        return None
    weekdays = counts[-7::-7]
    alike = list(weekdays) if len(weekdays) >= 4 else list(counts)
    middle = float(median(alike))
    spread = max(1.4826 * median(abs(each - middle) for each in alike), middle**0.5, 1.0)
    return max(0.0, middle - UNUSUAL * spread), middle + UNUSUAL * spread


def _volume(
    system: System, lake: Lake, table: str, days: Sequence[date]
) -> list[DataFault]:
    """The latest day has far fewer or more rows than the days before."""
    recent = [day for day in days if day >= days[-1] - HISTORY * DAY]
    counts = [lake.count(system.name, table, day) for day in recent]
    expected = usual(counts[:-1])
    if expected is None or expected[0] <= counts[-1] <= expected[1]:
        return []
    few = counts[-1] < expected[0]
    return [DataFault(
        table=table, since=midnight(days[-1]),
        says=f"{counts[-1]:,} rows on {days[-1]}, far {'fewer' if few else 'more'} than usual",
        expected=f"{expected[0]:,.0f} to {expected[1]:,.0f}")]


def _quarantined(
    system: System, lake: Lake, table: str, quarantine: str, day: date
) -> list[DataFault]:
    aside, usable = lake.count(system.name, quarantine, day), lake.count(system.name, table, day)
    if aside < FEW or aside <= QUARANTINED * (aside + usable):
        return []
    return [DataFault(
        table=table, since=midnight(day),
        says=f"{aside:,} of {aside + usable:,} records of {day} are unusable",
        expected=f"at most {QUARANTINED:.0%}")]
