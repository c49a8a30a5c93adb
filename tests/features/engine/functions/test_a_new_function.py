"""Adding a window function takes one class and its registration, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.exact import Floats, Ints
from ml_assets.features.engine.functions import FUNCTIONS, Function, register
from ml_assets.features.engine.functions.base import (
    Between,
    EventList,
    Point,
    Record,
    RecordStatistic,
)
from ml_assets.features.engine.functions.extremes import LARGEST, SMALLEST
from ml_assets.features.engine.functions.points import Latest, Points
from ml_assets.features.engine.series import Array, Series
from tests.features.engine import reference
from tests.features.engine.functions.laws import agree_with_the_reference, agree_with_the_state
from tests.features.engine.strategies import cases, views


class Range(Function):
    """From statistics that others keep, too."""

    name, meaning = "range", "the largest value less the smallest"
    needs = (LARGEST, SMALLEST)

    def finish(self, as_of: Ints, largest: Floats, smallest: Floats) -> Floats:
        return largest - smallest

    def finish_scalar(self, as_of: int, largest: float, smallest: float) -> float:
        return largest - smallest


class SecondLast(Function):
    """From the latest events."""

    name, meaning = "second_last", "the value before the latest"
    needs = (Latest(2),)
    ordered = True

    def finish(self, as_of: Ints, latest: Points) -> Floats:
        return latest.value[:, 1]

    def finish_scalar(self, as_of: int, latest: list[Point]) -> float:
        return latest[1][2] if len(latest) > 1 else np.nan


class Negatives(RecordStatistic):
    """How many values are below zero."""

    name, rank, form, dtype, empty = "negatives", 100, "q", np.dtype("<i8"), (0,)

    def over(self, series: Series) -> Between:
        below = np.append(0, np.cumsum(series.there < 0))
        return lambda first, end: below[end] - below[first]

    def merge(self, found: Ints, past: Array) -> Ints:
        return np.add(found, past)

    def scalar(
        self, events: EventList, begin: int, start: int, record: Record | None, item: int
    ) -> int:
        below = len([value for value in events.values[begin:] if value < 0])
        return below if record is None else below + int(record[item])


class NegativeCount(Function):
    """From a statistic of its own."""

    name, meaning, empty = "negative_count", "how many values are below zero", 0
    needs = (Negatives(),)
    whole = True

    def finish(self, as_of: Ints, negatives: Ints) -> Floats:
        return negatives.astype(np.float64)

    def finish_scalar(self, as_of: int, negatives: int) -> float:
        return float(negatives)


MEANINGS: dict[str, reference.Meaning] = {
    "range": lambda window: (
        max(window.numbers) - min(window.numbers) if window.values else np.nan
    ),
    "second_last": lambda window: window.numbers[-2] if len(window.values) > 1 else np.nan,
    "negative_count": lambda window: sum(number < 0 for number in window.numbers),
}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(FUNCTIONS)
    for each in (Range, SecondLast, NegativeCount):
        register(each)
    for name, meaning in MEANINGS.items():
        monkeypatch.setitem(reference.MEANINGS, name, meaning)
    yield
    FUNCTIONS.clear()
    FUNCTIONS.update(before)


law = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@law
@given(st.data())
def test_history_gives_what_the_plain_reference_says(data: st.DataObject) -> None:
    agree_with_the_reference(*data.draw(cases(names=sorted(MEANINGS), conflicting=True)))


@law
@given(st.data())
def test_online_and_offline_agree_for_every_entity_and_instant(data: st.DataObject) -> None:
    agree_with_the_state(data.draw(views(sorted(MEANINGS))), data)


@law
@given(st.data())
def test_it_stands_beside_the_functions_that_there_are(data: st.DataObject) -> None:
    agree_with_the_state(data.draw(views(sorted(FUNCTIONS))), data)
