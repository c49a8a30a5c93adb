"""One item's fault is one item's."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import Quarantined
from ml_assets.core.runtime.isolation import LONGEST_REASON, Fault, attempt, culprits


def test_what_one_item_raises_is_its_reason() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert attempt(int, "3") == 3
    assert attempt(fail, Quarantined("it is odd")) == Fault(reason="it is odd")
    assert attempt(fail, KeyError("a")) == Fault(reason="KeyError: 'a'")
    found = attempt(fail, ValueError("\ud800" + "x" * 10_000))
    assert isinstance(found, Fault) and len(found.reason.encode()) < 2 * LONGEST_REASON


@given(st.integers(0, 40), st.sets(st.integers(0, 39)))
def test_those_at_fault_are_found_and_nobody_else(count: int, bad: set[int]) -> None:
    def work(places: Sequence[int]) -> None:
        for place in places:
            if place in bad:
                raise ArithmeticError(place)

    found = culprits(range(count), work)
    assert found == {place: Fault(reason=f"ArithmeticError: {place}")
                     for place in sorted(bad) if place < count}


@given(st.lists(st.integers(0, 5), max_size=20))
def test_of_items_that_fail_only_beside_each_other_the_first_is_none(values: list[int]) -> None:
    def work(places: Sequence[int]) -> None:
        chosen = [values[place] for place in places]
        if len(set(chosen)) != len(chosen):
            raise ValueError("twice")

    first = [values.index(value) == place for place, value in enumerate(values)]
    assert sorted(culprits(range(len(values)), work)) == [
        place for place, is_first in enumerate(first) if not is_first]


def test_few_culprits_among_many_take_few_calls() -> None:
    calls = []

    def work(places: Sequence[int]) -> None:
        calls.append(len(places))
        if 700 in places:
            raise ValueError

    assert list(culprits(range(1000), work)) == [700]
    assert len(calls) < 25
