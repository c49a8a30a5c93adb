"""What a windowed view is, where windows start, and how a wrong declaration is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from feast.aggregation import Aggregation
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import DeclarationError, UnknownName
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Slot, WindowedView, parse_view, tail

HOUR = timedelta(hours=1)


def parse(*aggregations: Aggregation, **said: Any) -> WindowedView:
    given: dict[str, Any] = {
        "name": "shopping", "keys": ["customer"], "timestamp": "known_at", "created": "",
        "tags": {},
    }
    return parse_view(aggregations=aggregations, **(given | said))


def clicks(**said: Any) -> Aggregation:
    given: dict[str, Any] = {
        "column": "clicks", "function": "sum", "time_window": 24 * HOUR, "name": "clicks_1d",
    }
    return Aggregation(**(given | said))


spans = st.tuples(st.integers(1, 50), st.integers(1, 10**9)).map(lambda s: (s[0] * s[1], s[1]))


@given(st.integers(-(10**16), 10**16), spans)
def test_a_window_is_whole_slides_and_the_one_that_is_on(
    as_of: int, span: tuple[int, int]
) -> None:
    window, slide = span
    start = tail(as_of, span)
    assert start % slide == 0
    assert window - slide < as_of - start <= window


@given(st.integers(-(10**7), 10**7), spans)
def test_a_window_that_ends_at_a_boundary_is_as_long_as_declared(
    place: int, span: tuple[int, int]
) -> None:
    window, slide = span
    assert place * slide - tail(place * slide, span) == window


@given(st.lists(st.integers(-(10**16), 10**16)), spans)
def test_a_tail_never_moves_back(instants: list[int], span: tuple[int, int]) -> None:
    tails = tail(np.array(sorted(instants), dtype=np.int64), span)
    assert (np.diff(tails) >= 0).all()
    assert tails.tolist() == [tail(instant, span) for instant in sorted(instants)]


def test_a_view_is_read_from_what_feast_holds() -> None:
    view = parse(
        clicks(slide_interval=HOUR),
        clicks(function="avg", time_window=6 * HOUR, slide_interval=2 * HOUR, name="mean_6h"),
        clicks(column="*", function="count", name="n"),
        clicks(function="last_n(2)", name="latest"),
        created="arrived", tags={"refresh": "slide", "lateness_seconds": "60", "event_id": "id"},
    )
    assert view.columns == ("clicks_1d", "mean_6h", "n", "latest_1", "latest_2")
    assert view.slots == (Slot("clicks", "number"),)
    assert view.aggregates[1].function == parse_function("mean", "a test")
    assert view.aggregates[2].slot == Slot("", "rows")
    assert view.spans == (
        (86_400_000_000, 3_600_000_000), (21_600_000_000, 7_200_000_000),
        (86_400_000_000, 86_400_000_000),
    )
    assert view.tile == 3_600_000_000
    assert view.horizon == 86_400_000_000
    assert (view.created, view.event_id, view.lateness) == ("arrived", "id", 60_000_000)


def test_a_column_that_is_there_and_its_number_are_different_slots() -> None:
    view = parse(clicks(), clicks(function="count", name="n"))
    assert view.slots == (Slot("clicks", "number"), Slot("clicks", "rows"))


def test_a_stream_is_read_as_of_the_instant_and_a_batch_as_of_its_last_tile() -> None:
    stream = parse(clicks(slide_interval=HOUR))
    batch = parse(clicks(slide_interval=HOUR), tags={"refresh": "slide"})
    assert stream.as_of(7_200_000_001) == 7_200_000_001
    assert batch.as_of(7_200_000_001) == 7_200_000_000
    assert batch.as_of(7_200_000_000) == 7_200_000_000
    assert batch.as_of(np.array([-1, 1])).tolist() == [-3_600_000_000, 0]


@pytest.mark.parametrize(("aggregations", "said", "expected"), [
    ([], {}, "aggregations is empty"),
    ([clicks()], {"timestamp": ""}, "timestamp_field is empty"),
    ([clicks()], {"tags": {"refresh": "daily"}}, "tag refresh is 'daily'; expected 'stream'"),
    ([clicks()], {"tags": {"lateness_seconds": "1h"}}, "tag lateness_seconds is '1h'"),
    ([clicks()], {"tags": {"lateness_seconds": "²"}}, "tag lateness_seconds is '²'"),
    ([clicks(), clicks()], {}, "two aggregations are called 'clicks_1d'"),
    (
        [clicks(function="last_n(2)", name="clicks"), clicks(name="clicks_2")], {},
        "two aggregations are called 'clicks_2'",
    ),
    ([clicks(column="")], {}, "aggregation 'clicks_1d': column is empty; sum needs one"),
    ([clicks(column="my clicks")], {}, "'clicks_1d': column is 'my clicks'; expected the name"),
    ([clicks(time_window=None)], {}, "'clicks_1d': time_window is None; expected a positive"),
    ([clicks(time_window=-HOUR)], {}, "'clicks_1d': time_window is -1 day, 23:00:00; expected"),
    (
        [clicks(slide_interval=5 * HOUR)], {},
        "time_window is 1 day, 0:00:00, which is no multiple of slide_interval, 5:00:00",
    ),
    ([clicks(function="last_n(0)")], {}, r"'clicks_1d': function is 'last_n\(0\)'; expected n"),
])
def test_a_wrong_declaration_is_refused_with_view_feature_and_value(
    aggregations: list[Aggregation], said: dict[str, Any], expected: str
) -> None:
    with pytest.raises(DeclarationError, match=f"Feature view 'shopping'.*{expected}"):
        parse(*aggregations, **said)


def test_an_unknown_function_is_refused_with_view_and_feature() -> None:
    with pytest.raises(UnknownName, match=r"'summ'.*sum.*'shopping', aggregation 'clicks_1d'"):
        parse(clicks(function="summ"))
