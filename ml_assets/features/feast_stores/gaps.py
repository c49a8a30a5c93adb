"""What a load of a windowed view leaves out of its windows.

A window of 30 days that is loaded from the day before yesterday holds two days and looks like
any other: it counts too little, and nothing says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ml_assets.features.engine.windows import WindowedView, tail
from ml_assets.features.feast_stores.feast_values import instant_of, micros

Stretch = tuple[datetime, datetime]
"""[start, end) of event timestamps."""

_LEAST = timedelta(microseconds=1)
"""Whoever takes Feast's ends for inclusive leaves so much between two loads."""


def gaps_before(
    view: WindowedView, as_of: datetime, loaded: Sequence[tuple[datetime, datetime]]
) -> list[Stretch]:
    """What the windows hold as of an instant besides the stretches `loaded`, and before their end.

    loaded: one at least; their instants are in UTC if they have no zone
    In order of time; empty if the windows hold nothing else.
    """
    known = sorted((_aware(start), _aware(end)) for start, end in loaded)
    as_of = min(as_of, max(end for _, end in known))
    reach = instant_of(min(tail(view.as_of(micros(as_of)), span) for span in view.spans))
    found = []
    for start, end in known:
        if start - reach > _LEAST and reach < as_of:
            found.append((reach, min(start, as_of)))
        reach = max(reach, end)
    return found


def warning_of(view: str, gaps: Sequence[Stretch]) -> str:
    """What is wrong with these gaps, in which the source has rows, and what to do."""
    missing = ", ".join(f"from {start:%Y-%m-%dT%H:%M:%S} to {end:%Y-%m-%dT%H:%M:%S}"
                        for start, end in gaps)
    command = "; ".join(
        f"feast materialize {start:%Y-%m-%dT%H:%M:%S} "
        f"{end + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S} --views {view}" for start, end in gaps
    )
    return (
        f"feature view {view!r} counts too little: its windows reach back to what no load has "
        f"brought in, and the source has rows there ({missing}, UTC). Load them too; nothing "
        f"counts twice: {command}"
    )


def _aware(instant: datetime) -> datetime:
    return instant_of(micros(instant))
