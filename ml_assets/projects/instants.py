"""How a file writes its instants, found out from the values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ml_assets.core.declaration import listed
from ml_assets.core.errors import DeclarationError
from ml_assets.core.texts import shown
from ml_assets.core.time import EARLIEST, LATEST
from ml_assets.ingest.sources.cells import SINCE_1970, SourceClock, WithoutZone

_DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y")
_TIMES = (" %H:%M:%S", " %H:%M", "")
LAYOUTS = ("", *SINCE_1970, *(f"{day}{time}" for day in _DAYS for time in _TIMES))
SAMPLE = 200


@dataclass(frozen=True, kw_only=True)
class Written:
    """zone: declared or assumed; assumed: whether nothing in the file says it."""

    zone: str
    layout: str
    assumed: bool

    @property
    def clock(self) -> SourceClock:
        return SourceClock(self.zone, self.layout)


def written(
    column: str, values: Sequence[tuple[str, str]], zone: str | None, layout: str | None
) -> Written:
    """How the values, each with where it was, are written.

    zone, layout: declared ones; without a zone UTC is assumed if the values name none
    Raises DeclarationError with the first value that is no instant, and where it is.
    """
    if not values:
        raise DeclarationError(f"the column {column} has no value; expected instants")
    if layout is None:
        layout = _layout(column, [value for _, value in values[:SAMPLE]])
    assumed = zone is None and _names_no_zone(values[0][1], layout)
    found = Written(zone=zone or ("UTC" if assumed else ""), layout=layout, assumed=assumed)
    first_bad: str | None = None
    bad = 0
    for origin, value in values:
        if _instant(found.clock, value) is None:
            bad += 1
            first_bad = first_bad or (
                f"{origin}: {column} is {shown(value)}, which is no instant"
                + (f" written as {layout}" if layout else ""))
    if bad > len(values) / 10:
        raise DeclarationError(
            f"{first_bad} ({bad:,} of {len(values):,} values are none). Name the column of the "
            "instant with --timestamp, or how it is written with --layout, as for Python's "
            f"strptime: --layout '%d.%m.%Y %H:%M', or {listed(SINCE_1970)} since 1970")
    return found


def _layout(column: str, sample: Sequence[str]) -> str:
    """The one that most of the sample keeps; ISO 8601 unless another is kept better."""
    kept = {layout: sum(_likely(layout, _instant(SourceClock("UTC", layout), value))
                        for value in sample) for layout in LAYOUTS}
    best = max(kept.values())
    fitting = [layout for layout, count in kept.items() if count == best and count]
    if "" in fitting or not fitting:
        return ""
    if len(fitting) > 1:
        raise DeclarationError(
            f"{column} holds {shown(sample[0])}, which may be written as "
            f"{' or '.join(map(repr, fitting))}. Say which: --layout '{fitting[0]}'")
    return fitting[0]


def _likely(layout: str, at: datetime | None) -> bool:
    """Whether it is an instant. Any number is one since 1970, but hardly meant so much earlier or
    later than computers count them."""
    return at is not None and (layout not in SINCE_1970 or 1990 <= at.year < 2100)


def _names_no_zone(value: str, layout: str) -> bool:
    try:
        SourceClock("", layout).instant(value)
    except WithoutZone:
        return True
    except ValueError:
        pass
    return False


def _instant(clock: SourceClock, value: str) -> datetime | None:
    try:
        found = clock.instant(value)
    except (ValueError, OverflowError):  # WithoutZone is one
        return None
    return found if EARLIEST <= found < LATEST else None
