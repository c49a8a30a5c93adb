"""Laws of the offline engine."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.core.errors import ContractViolation
from ml_assets.features.engine import history
from ml_assets.features.engine.exact import LIMIT, SQUARED_LIMIT
from ml_assets.features.engine.functions import parse_function
from ml_assets.features.engine.windows import Aggregate, WindowedView
from tests.features.engine import strategies
from tests.features.engine.functions.laws import agree_with_the_reference, ask
from tests.features.engine.reference import Record, events_of
from tests.features.engine.strategies import DAY, HOUR, Question

Case = tuple[WindowedView, list[Record], list[Question]]


def one(function: str, column: str = "amount") -> WindowedView:
    return WindowedView(name="shopping", keys=("customer",), timestamp="at", aggregates=(Aggregate(
        name="it", function=parse_function(function, "a test"), column=column,
        window=DAY, slide=HOUR,
    ),))


@given(strategies.cases(conflicting=True))
@settings(deadline=None)
def test_every_feature_is_what_the_plain_reference_says(case: Case) -> None:
    agree_with_the_reference(*case)


@given(strategies.cases(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_events_changes_no_bit(case: Case, chance: random.Random) -> None:
    view, records, asked = case
    events = events_of(view, records)
    order = list(range(len(events)))
    chance.shuffle(order)
    turned = ask(view, events.take(np.array(order, dtype=np.int64)), asked)
    assert turned.tobytes() == ask(view, events, asked).tobytes()


@given(strategies.cases())
@settings(max_examples=40, deadline=None)
def test_the_order_and_the_number_of_questions_change_no_bit(case: Case) -> None:
    view, records, asked = case
    events = events_of(view, records)
    together = ask(view, events, asked)
    assert ask(view, events, asked[::-1])[::-1].tobytes() == together.tobytes()
    for place, question in enumerate(asked):
        assert ask(view, events, [question]).tobytes() == together[place].tobytes()


@given(strategies.cases(heads=False), st.data())
@settings(max_examples=40, deadline=None)
def test_an_event_at_or_after_as_of_never_changes_a_row(case: Case, data: st.DataObject) -> None:
    view, records, asked = case
    events = events_of(view, records)
    before = ask(view, events, asked)
    for place, question in enumerate(asked):
        end = view.as_of(question.as_of)
        later = Record(
            entity=question.entity, at=end + data.draw(st.sampled_from((0, 1, view.tile))),
            id="later", arrived=len(records), values=data.draw(strategies.values()),
        )
        after = ask(view, events_of(view, [*records, later]), [question])
        assert after.tobytes() == before[place].tobytes()


@given(strategies.cases(), st.sampled_from((1, 2**31, 2**55)))
@settings(max_examples=40, deadline=None)
def test_entities_may_have_any_numbers(case: Case, times: int) -> None:
    """The numbers of entities and the stretch of time need not fit into one int64."""
    view, records, asked = case
    far = replace(records[0], id="far", at=-(2**61)) if records else None
    mine = [each for each in (*records, far) if each is not None]
    large = [replace(each, entity=each.entity * times) for each in mine]
    also = [replace(each, entity=each.entity * times) for each in asked]
    assert (
        ask(view, events_of(view, large), also).tobytes()
        == ask(view, events_of(view, records), asked).tobytes()
    )


@given(strategies.cases())
@settings(max_examples=40, deadline=None)
def test_rows_answered_in_pieces_are_the_same(case: Case) -> None:
    view, records, asked = case
    events = events_of(view, records)
    together = ask(view, events, asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "ROWS", 2)
        assert ask(view, events, asked).tobytes() == together.tobytes()


@given(strategies.cases())
@settings(max_examples=40, deadline=None)
def test_an_entity_never_seen_has_the_values_of_an_empty_window(case: Case) -> None:
    view, records, asked = case
    unseen = [replace(each, entity=99) for each in asked]
    empty = [
        np.nan if each.function.empty is None else each.function.empty
        for each in view.aggregates for _ in each.columns
    ]
    np.testing.assert_array_equal(
        ask(view, events_of(view, records), unseen), np.array([empty] * len(asked)).reshape(
            len(asked), len(view.columns))
    )


def test_nobody_has_no_features_at_all() -> None:
    """Not even a count of zero."""
    view = one("count", "")
    record = Record(entity=-1, at=DAY, id="e", arrived=0, values={})
    rows = ask(view, events_of(view, [record]), [Question(-1, 2 * DAY), Question(0, 2 * DAY)])
    np.testing.assert_array_equal(rows, [[np.nan], [0]])


@pytest.mark.parametrize(
    ("function", "limit"), [("sum", LIMIT), ("mean", LIMIT), ("std", SQUARED_LIMIT)]
)
def test_a_value_too_large_to_be_summed_exactly_is_refused(function: str, limit: float) -> None:
    view = one(function)
    record = Record(entity=0, at=DAY, id="e", arrived=0, values={"amount": -limit})
    message = rf"'shopping': column 'amount' has the value -{limit}; expected less than 2\*\*"
    with pytest.raises(ContractViolation, match=message.replace("e+", r"e\+")):
        ask(view, events_of(view, [record]), [Question(0, DAY + 1)])
    fine = replace(record, values={"amount": np.nextafter(limit, 0)})
    assert np.isfinite(ask(view, events_of(view, [fine]), [Question(0, DAY + 1)])).all()


def test_a_value_that_is_only_compared_may_be_of_any_size() -> None:
    view = one("max")
    record = Record(entity=0, at=DAY, id="e", arrived=0, values={"amount": 1e300})
    assert ask(view, events_of(view, [record]), [Question(0, DAY + 1)]).tolist() == [[1e300]]


@pytest.mark.parametrize("function", ["min", "max", "sum"])
@pytest.mark.parametrize("amounts", [(0.0, -0.0), (-0.0, 0.0), (-0.0,)])
def test_zero_has_no_sign(function: str, amounts: tuple[float, ...]) -> None:
    """Else its bits would depend on the order of events."""
    records = [
        Record(entity=0, at=DAY + place, id=str(place), arrived=place, values={"amount": amount})
        for place, amount in enumerate(amounts)
    ]
    view = one(function)
    rows = ask(view, events_of(view, records), [Question(0, DAY + 9)])
    assert rows.tobytes() == np.zeros(1).tobytes()
