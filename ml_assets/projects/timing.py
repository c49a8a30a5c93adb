"""Days, windows and delays of a new declaration, found out from its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import ceil

from ml_assets.core.errors import DeclarationError
from ml_assets.core.time import DAY

WINDOWS = (timedelta(hours=6), DAY, 3 * DAY, 7 * DAY, 30 * DAY, 90 * DAY, 365 * DAY)
UNITS = (("day", DAY), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)))
HISTORY = 0.6
"""Share of the rows' time that is recorded history; the rest is replayed as live traffic."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The days of a system.

    after: how long an outcome takes; delays: a sentence about what was seen, "" if nothing was
    holdout: the end of a training set that judges the model
    """

    first_day: date
    go_live: date
    last_day: date
    after: timedelta
    delays: str
    holdout: timedelta

    @property
    def span(self) -> timedelta:
        return self.last_day - self.first_day


def timing(
    happened: Mapping[str, datetime], known: Mapping[str, datetime], after: timedelta | None
) -> Timing:
    """Of events by key, and of when the outcomes of some of them became known.

    after: a declared delay. Raises DeclarationError if an outcome is known before its event, or
    if history is too short for its labels.
    """
    first, last = min(happened.values()).date(), max(happened.values()).date()
    delays = sorted(known[key] - at for key, at in happened.items() if key in known)
    if delays and delays[0] < timedelta(0):
        key = min((key for key in happened if key in known), key=lambda k: known[k] - happened[k])
        raise DeclarationError(
            f"the outcome of {key} is known at {known[key].isoformat()}, before its event at "
            f"{happened[key].isoformat()}. Check --timestamp, --known-at and --zone")
    span = (last - first) + DAY
    said = ""
    if delays:
        longest = delays[-1]
        said = (f"{words(delays[len(delays) // 2])} in the middle, {words(longest)} at most, of "
                f"{len(delays):,}")
        after = after or timedelta(days=ceil(longest / DAY) or 1)
    after = after or max(DAY, min(7 * DAY, timedelta(days=span.days // 8)))
    history = timedelta(days=max(2, round(span.days * HISTORY)))
    holdout = max(DAY, timedelta(days=(history - after).days // 4))
    if history <= after + holdout:
        raise DeclarationError(
            f"the rows span {span.days} days, from {first} to {last}, and outcomes take "
            f"{words(after)}: no history would have labels. Bring more rows, or say a shorter "
            "--after")
    return Timing(first_day=first, go_live=first + history, last_day=last + 31 * DAY, after=after,
                  delays=said, holdout=holdout)


def windows_of(events: int, entities: int, span: timedelta) -> tuple[timedelta, ...]:
    """A short and a long window in which an entity has about two and eight events."""
    each = span / max(events / max(entities, 1), 1)
    fitting = [window for window in WINDOWS if window <= max(span / 2, WINDOWS[0])]
    short = next((w for w in fitting if w >= 2 * each), fitting[-1])
    long = next((w for w in fitting if w >= 8 * each), fitting[-1])
    return (short,) if short == long else (short, long)


def words(duration: timedelta) -> str:
    """`7 days`, `36 hours`, `5 minutes`."""
    for unit, length in UNITS:
        if duration >= length:
            count = round(duration / length, 1 if duration % length else None)
            return f"{count:g} {unit}{'' if count == 1 else 's'}"
    return f"{duration.total_seconds():g} seconds"


def code(duration: timedelta) -> str:
    """As Python spells it: `timedelta(days=7)`."""
    if not duration % DAY:
        return f"timedelta(days={duration // DAY})"
    hour = timedelta(hours=1)
    if not duration % hour:
        return f"timedelta(hours={duration // hour})"
    return f"timedelta(seconds={duration.total_seconds():.0f})"


def short(duration: timedelta) -> str:
    """For names: `7d`, `6h`."""
    return f"{duration // DAY}d" if not duration % DAY else f"{duration // timedelta(hours=1)}h"
