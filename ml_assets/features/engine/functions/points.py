"""The earliest and the latest events: their values, and how long ago they were."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.functions.base import (
    POINT,
    Between,
    EventList,
    Function,
    Point,
    PointsStatistic,
    Record,
    RecordStatistic,
    register,
)
from ml_assets.features.engine.series import Array, Hashes, Series

NOWHERE = -(2**62)
"""The instant of a folded point that is not there."""


class Points(NamedTuple):
    """Events of windows, (m) or (m, points): zeros, and NaN for the value, if there is none.

    uid: None if nothing is to be merged with them
    """

    at: Ints
    uid: Hashes | None
    value: Floats

    @staticmethod
    def of(series: Series, place: Ints, there: npt.NDArray[np.bool_]) -> Points:
        """Those at each `place` of the series that is `there`."""
        place = place[there]
        row = series.row[place]

        def spread(nothing: float, values: Array) -> Array:
            found = np.full(there.shape, nothing, values.dtype)
            found[there] = values
            return found

        uid = None if series.uid is None else spread(0, series.uid[row])
        return Points(spread(0, series.at[row]), uid, spread(np.nan, series.values_at(place)))


class First(RecordStatistic):
    """The earliest event: m points, or a `Point`, None if there is none."""

    name, rank, form, dtype, empty = "first", 5, "qQd", POINT, (0, 0, math.nan)

    def over(self, series: Series) -> Between:
        return lambda first, end: Points.of(series, first, end > first)

    def merge(self, found: Points, past: Array) -> Points:
        earlier = (past["at"] < found.at) | (
            (past["at"] == found.at) & (past["uid"] < found.uid)
        )
        old = ~np.isnan(past["value"]) & (earlier | np.isnan(found.value))
        return Points(*(
            np.where(old, past[name], getattr(found, name)) for name in Points._fields
        ))

    def pack(self, found: Points) -> Array:
        packed = np.empty(len(found.at), POINT)
        for name in Points._fields:
            packed[name] = getattr(found, name)
        return packed

    def scalar(
        self, events: EventList, begin: int, start: int, record: Record | None, item: int
    ) -> Point | None:
        points = [events.point(begin)] if begin < len(events.instants) else []
        if record is not None and record[item + 2] == record[item + 2]:
            points.append((record[item], record[item + 1], record[item + 2]))
        return min(points, default=None)


@dataclass(frozen=True)
class Latest(PointsStatistic):
    """The latest events: (m, points) points, newest first, or a list of those that there are."""

    points: int

    def over(self, series: Series) -> Between:
        back = np.arange(self.points)

        def between(first: Ints, end: Ints) -> Points:
            place = end[:, None] - 1 - back
            return Points.of(series, place, place >= first[:, None])

        return between

    def scalar(
        self, events: EventList, begin: int, start: int, record: Record | None, item: int
    ) -> list[Point]:
        most, size = self.points, len(events.instants)
        points = [events.point(place) for place in range(max(begin, size - most), size)]
        past = events.past_points(start, most)
        return sorted(points + past, reverse=True)[:most] if past else points[::-1]

    def fold(self, past: Array, series: Series, reach: int) -> Array:
        assert series.uid is not None
        past = past[~np.isnan(past["value"]) & (past["at"] >= reach)]
        both = np.empty(len(past) + len(series.row), POINT)
        both[: len(past)] = past
        both["at"][len(past) :] = series.at[series.row]
        both["uid"][len(past) :] = series.uid[series.row]
        both["value"][len(past) :] = series.values_at(np.arange(len(series.row)))
        newest = both[np.lexsort((both["uid"], both["at"]))][::-1][: self.points]
        kept = np.zeros(self.points, POINT)
        kept["at"], kept["value"] = NOWHERE, np.nan
        kept[: len(newest)] = newest
        return kept


FIRST, LAST = First(), Latest(1)


@register
class FirstValue(Function):
    name, meaning = "first", "the earliest value"
    needs = (FIRST,)
    clock = "nothing"
    ordered = takes_codes = True

    def finish(self, as_of: Ints, first: Points) -> Floats:
        return first.value

    def finish_scalar(self, as_of: int, first: Point | None) -> float:
        return math.nan if first is None else first[2]


@register
class LastValue(Function):
    name, meaning = "last", "the latest value"
    needs = (LAST,)
    clock = "nothing"
    ordered = takes_codes = True

    def finish(self, as_of: Ints, last: Points) -> Floats:
        return last.value[:, 0]

    def finish_scalar(self, as_of: int, last: list[Point]) -> float:
        return last[0][2] if last else math.nan


@register
class TimeSinceFirst(Function):
    name, meaning = "time_since_first", "seconds since the earliest event"
    reads = "rows"
    needs = (FIRST,)
    clock = "age"

    def finish(self, as_of: Ints, first: Points) -> Floats:
        return np.where(np.isnan(first.value), np.nan, (as_of - first.at) / 1e6)

    def finish_scalar(self, as_of: int, first: Point | None) -> float:
        return math.nan if first is None else (as_of - first[0]) / 1e6


@register
class TimeSinceLast(Function):
    name, meaning = "time_since_last", "seconds since the latest event"
    reads = "rows"
    needs = (LAST,)
    clock = "age"

    def finish(self, as_of: Ints, last: Points) -> Floats:
        return np.where(np.isnan(last.value[:, 0]), np.nan, (as_of - last.at[:, 0]) / 1e6)

    def finish_scalar(self, as_of: int, last: list[Point]) -> float:
        return (as_of - last[0][0]) / 1e6 if last else math.nan


@register
class LastValues(Function):
    name, meaning, parameters = "last_n", "the n latest values, newest first", ("n",)
    is_list = ordered = takes_codes = True
    clock = "nothing"

    @property
    def needs(self) -> tuple[Latest]:
        return (Latest(self.width),)

    @property
    def width(self) -> int:
        return int(self.arguments[0])

    def expected(self) -> str:
        (n,) = self.arguments
        return "" if n == int(n) and 1 <= n <= 1000 else "n from 1 to 1000"

    def finish(self, as_of: Ints, latest: Points) -> Floats:
        return latest.value

    def finish_scalar(self, as_of: int, latest: list[Point]) -> list[float]:
        return [value for _, _, value in latest] + [math.nan] * (self.width - len(latest))
