"""A windowed feature view as values: its aggregates, their windows, the columns they read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from math import gcd
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ml_assets.core.declaration import closest
from ml_assets.core.errors import DeclarationError
from ml_assets.features.engine.functions import Function, parse_function
from ml_assets.features.engine.series import Form

Instant = TypeVar("Instant", int, npt.NDArray[np.int64])
"""Microseconds since 1970 UTC: one, or an array of them."""


class Slot(NamedTuple):
    """What is kept of one event for some aggregates: a column in one of three forms.

    number: its value as float64; hash: 64 bits of its text's MD5; rows: nothing, or with a
    column 1.0 where it is not missing. NaN (for a hash: zero) says that it is missing.
    """

    column: str
    form: Form


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """One feature. `window` and `slide` are microseconds; see `Window.tail`."""

    name: str
    function: Function
    column: str
    window: int
    slide: int

    @property
    def slot(self) -> Slot:
        return Slot(self.column, self.function.reads)

    @property
    def span(self) -> tuple[int, int]:
        """Aggregates with the same span look at the same stretch of time."""
        return self.window, self.slide

    @property
    def columns(self) -> tuple[str, ...]:
        """Its names as numbers in a row: `clicks_1` (newest) to `clicks_5` for `last_n(5)`."""
        if not self.function.is_list:
            return (self.name,)
        return tuple(f"{self.name}_{place}" for place in range(1, self.function.width + 1))


@dataclass(frozen=True, kw_only=True)
class WindowedView:
    """What the engine knows of a `StreamFeatureView` with aggregations.

    keys:      the event columns that identify the entity, in the order of their names; without
               any, all events are one entity's
    timestamp: the column that says when an event counts (for labels: `known_at`)
    created:   the column that says when it arrived; "" where there is none
    event_id:  the column whose value counts once
    refresh:   "stream": as of t, all events strictly before t count. "slide": those strictly
               before the latest boundary of a tile at or before t; for sources that are
               loaded in batches, so that training sees what serving could have seen
    lateness:  microseconds; a store answers exactly for instants up to so long before the
               newest event it holds
    """

    name: str
    keys: tuple[str, ...]
    timestamp: str
    created: str = ""
    event_id: str = "event_id"
    aggregates: tuple[Aggregate, ...]
    refresh: Literal["stream", "slide"] = "stream"
    lateness: int = 86_400_000_000

    @cached_property
    def tile(self) -> int:
        """Microseconds; every window starts at a multiple of it."""
        return gcd(*(each.slide for each in self.aggregates))

    @cached_property
    def horizon(self) -> int:
        """Microseconds; no window at t reaches further back."""
        return max(each.window for each in self.aggregates)

    @cached_property
    def reach(self) -> int:
        """Microseconds: what happened longer before a reader's instant has no effect on it."""
        return self.horizon + self.tile + max(each.slide for each in self.aggregates)

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """What an event must supply beside time and id, each once; `rows` of no column is free."""
        found = dict.fromkeys(each.slot for each in self.aggregates)
        return tuple(slot for slot in found if slot.column)

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        return tuple(dict.fromkeys(each.span for each in self.aggregates))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The features as numbers in a row, in the order of `aggregates`."""
        return tuple(name for each in self.aggregates for name in each.columns)

    @cached_property
    def nameless(self) -> WindowedView:
        """The same with numbers for names: views that are alike in this are read alike.

        So `state.read` of one of them reads blobs of all.
        """
        numbers = {
            name: str(place) for place, name in
            enumerate(dict.fromkeys(each.column for each in self.aggregates if each.column))
        }
        return replace(
            self, name="", keys=(), timestamp="", created="", event_id="", lateness=0,
            aggregates=tuple(
                replace(each, name=str(place), column=numbers.get(each.column, ""))
                for place, each in enumerate(self.aggregates)
            ),
        )

    def as_of(self, t: Instant) -> Instant:
        """The instant strictly before which events count for a reader at `t`."""
        return t if self.refresh == "stream" else t // self.tile * self.tile


def tail(as_of: Instant, span: tuple[int, int]) -> Instant:
    """Where the window that ends at `as_of` starts (inclusive): a multiple of its slide.

    The window is `[tail, as_of)`. It holds the slide in which its last instant lies and as
    many whole ones before it as make up `window`: between `window - slide` and `window` long,
    and just `window` where `as_of` is a boundary.
    """
    window, slide = span
    return (as_of - 1) // slide * slide - window + slide


def parse_view(
    *, name: str, keys: Sequence[str], timestamp: str, created: str,
    aggregations: Sequence[Any], tags: dict[str, str],
) -> WindowedView:
    """From what Feast holds of a stream feature view.

    aggregations: Feast's `Aggregation`s, or objects with the same attributes and full names
    tags: `refresh` and `event_id` as in `WindowedView`, `lateness_seconds`

    Raises DeclarationError, naming the view, the feature and what is wrong.
    """
    owner = f"Feature view {name!r}"
    if not aggregations:
        raise DeclarationError(f"{owner}: aggregations is empty; expected at least one")
    if not timestamp:
        raise DeclarationError(f"{owner}: timestamp_field is empty; expected a column")
    refresh = tags.get("refresh", "stream")
    if refresh not in ("stream", "slide"):
        raise DeclarationError(f"{owner}: tag refresh is {refresh!r}; expected 'stream' or 'slide'."
                               f"{closest(refresh, ('stream', 'slide'))}")
    late = tags.get("lateness_seconds", "86400")
    if not late.isdecimal():
        raise DeclarationError(f"{owner}: tag lateness_seconds is {late!r}; expected seconds")
    aggregates = tuple(_parse_aggregate(owner, each) for each in aggregations)
    names = [name for each in aggregates for name in {each.name, *each.columns}]
    for each in names:
        if names.count(each) > 1:
            raise DeclarationError(f"{owner}: two aggregations are called {each!r}; name them")
    return WindowedView(
        # Feast keeps columns in sets: only their names give an order that all processes share.
        name=name, keys=tuple(sorted(keys)), timestamp=timestamp, created=created,
        event_id=tags.get("event_id", "event_id"), aggregates=aggregates,
        refresh="stream" if refresh == "stream" else "slide", lateness=int(late) * 1_000_000,
    )


def _parse_aggregate(owner: str, said: Any) -> Aggregate:
    window: timedelta | None = said.time_window
    name = said.resolved_name(window) if hasattr(said, "resolved_name") else said.name
    place = f"{owner}, aggregation {name!r}"
    function = parse_function(said.function, place)
    column = "" if said.column in ("", "*") else said.column
    if not column and function.reads != "rows":
        raise DeclarationError(f"{place}: column is empty; {function.name} needs one")
    if not name.isidentifier():
        raise DeclarationError(f"{place}: name is {name!r}; expected an identifier, so give it one")
    if column and not column.isidentifier():
        raise DeclarationError(f"{place}: column is {column!r}; expected the name of a column")
    if window is None or window <= timedelta(0):
        raise DeclarationError(f"{place}: time_window is {window}; expected a positive duration")
    slide: timedelta = said.slide_interval or window
    if slide <= timedelta(0) or window % slide:
        raise DeclarationError(
            f"{place}: time_window is {window}, which is no multiple of slide_interval, {slide}"
        )
    us = timedelta(microseconds=1)
    return Aggregate(
        name=name, function=function, column=column, window=window // us, slide=slide // us
    )
