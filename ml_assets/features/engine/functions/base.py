"""What a window function is made of: sufficient statistics, and how it is finished from them.

A statistic has a vectorised form, over stretches of a `Series`, which history, folding and the
reading of many blobs share; and a scalar form for one entity, in plain Python, which must give
the same bits. What the online state keeps of it is one of three: a `RecordStatistic` is merged
tile by tile, a `PointsStatistic` keeps the latest events, a `SketchStatistic` keeps hashes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.series import Array, Form, Series

Clock = Literal["nothing", "age", "any"]
"""What a value owes to the instant itself, while the same events are in the window: nothing; it is
the seconds since one of them; or whatever else."""

Between = Callable[[Ints, Ints], Any]
"""The statistic of stretches `[first, end)`, each (m), of a series."""

POINT = np.dtype([("at", "<i8"), ("uid", "<u8"), ("value", "<f8")])
PAIR = np.dtype([("hash", "<u8"), ("tile", "<i8")])

Point = tuple[int, int, float]
"""at, uid and value of one event."""

Record = tuple[Any, ...]
"""What is folded of a window, as a struct of the layout gives it."""


class EventList(Protocol):
    """The raw events of one entity that have a value, by (at, uid), and the folded ones.

    prepared: what a statistic has made of all values, to be used for several windows
    """

    instants: list[int]
    values: list[Any]
    prepared: dict[Statistic, list[int]]

    def point(self, place: int) -> Point: ...

    def past_points(self, start: int, most: int) -> list[Point]:
        """Of the folded points the latest that lie in a window from `start` on."""
        ...

    def past_items(self, start: int) -> Array:
        """Of what a `SketchStatistic` keeps the items of tiles from `start` on."""
        ...


class Statistic(ABC):
    """limit: a value must be smaller than this in size."""

    limit: ClassVar[float] = math.inf

    @abstractmethod
    def over(self, series: Series) -> Between:
        """Prepare `series` once, for the windows of all spans."""

    @abstractmethod
    def scalar(
        self, events: EventList, begin: int, start: int, record: Record | None, item: int
    ) -> Any:
        """Of one window: the events from place `begin` on, and what is folded of it.

        start: where the window starts; record: its record, None if nothing is folded of it;
        item: where the statistic's own items start in it
        """


class RecordStatistic(Statistic):
    """One that is kept for each tile, of all events from its start on, and merged.

    rank: its place among the items of a record, which is part of the stored format
    form, dtype: its items as a struct and as a field; empty: those of an empty window
    """

    name: ClassVar[str]
    rank: ClassVar[int]
    form: ClassVar[str]
    dtype: ClassVar[np.dtype[Any]]
    empty: ClassVar[tuple[float, ...]]

    @abstractmethod
    def merge(self, found: Any, past: Array) -> Any:
        """What `over` found of m stretches together with (m) items of records before them."""

    def pack(self, found: Any) -> Array:
        """As (m) items of records."""
        packed: Array = found
        return packed


class PointsStatistic(Statistic):
    """One that keeps the latest events. points: how many; all of one slot share the most."""

    points: int

    @abstractmethod
    def fold(self, past: Array, series: Series, reach: int) -> Array:
        """(points) what is to be kept of `past` and all of `series`, each `POINT`s.

        reach: no window looks back further
        """


class SketchStatistic(Statistic):
    """One that keeps items: a value, the tile in which it came and perhaps how often.

    All of one slot share the items that the first of them keeps.

    item: words of 8 bytes: the value or its hash, `tile`, and `count` if they have one
    """

    item: ClassVar[np.dtype[Any]] = PAIR

    @abstractmethod
    def fold(
        self, past: Array, series: Series, reach: int, tile_of: Callable[[Ints], Ints]
    ) -> Array:
        """The items that some window can need of `past` and all of `series`.

        reach: no window looks back further
        tile_of: the tiles of instants: no window that is still to come starts within one
        """


@dataclass(frozen=True, repr=False)
class Function(ABC):
    """A window function with its arguments, such as `last_n` with (5,).

    reads:      what it reads of an event, and so which types of columns it accepts
    parameters: the names of its arguments; aliases: other names of the function
    needs:      the statistics that it is finished from
    empty:      its value if no event is in the window; None if it then has none
    width:      how many numbers it gives; is_list: as a list, newest first
    whole:      whether they are whole numbers
    takes_codes: whether a text's code may stand for it, because all that is done with values is
        to tell them apart and to give them back
    ordered:    whether the order of events at the same instant makes a difference
    clock:      what its value owes to the instant itself: what owes "any" is never remembered
    """

    arguments: tuple[float, ...] = ()

    name: ClassVar[str]
    meaning: ClassVar[str]
    reads: ClassVar[Form] = "number"
    aliases: ClassVar[tuple[str, ...]] = ()
    parameters: ClassVar[tuple[str, ...]] = ()
    whole: ClassVar[bool] = False
    takes_codes: ClassVar[bool] = False
    is_list: ClassVar[bool] = False
    ordered: ClassVar[bool] = False
    clock: ClassVar[Clock] = "any"

    def __repr__(self) -> str:
        # Stores know a view by a digest of its text, which must not change with the class.
        return f"Function(name={self.name!r}, arguments={self.arguments!r})"

    @property
    @abstractmethod
    def needs(self) -> tuple[Statistic, ...]: ...

    @property
    def width(self) -> int:
        return 1

    @property
    def empty(self) -> float | None:
        return None

    def expected(self) -> str:
        """What its arguments should be, if they are wrong; else nothing."""
        return ""

    @abstractmethod
    def finish(self, as_of: Ints, *found: Any, **_: Any) -> Floats:
        """The feature of m windows that end at `as_of`: (m), or (m, width). NaN: no value.

        found: of each statistic in `needs` what `over` gives. Zero may be divided by zero.
        """

    @abstractmethod
    def finish_scalar(self, as_of: int, *found: Any, **_: Any) -> float | list[float]:
        """The same of one window, from what `scalar` gives."""


FUNCTIONS: dict[str, type[Function]] = {}
"""By name."""


def register(function: type[Function]) -> type[Function]:
    """Decorates a function, so that declarations may name it."""
    FUNCTIONS[function.name] = function
    return function
