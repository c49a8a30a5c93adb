"""The films' protocol: what an order is worth, and that each viewer counts once."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.systems_load.movies.protocol import DAY_S, Query, first_ten, interval, mean, ndcg


def asked(viewer: str, *wanted: int, at: float = 3 * DAY_S + 7.0) -> Query:
    return Query(viewer=viewer, at=at, wanted=frozenset(wanted))


def test_an_order_is_worth_as_much_as_what_stands_first() -> None:
    queries = [asked("a", 1, 2), asked("a", 2, 9), asked("b", 30)]
    found = ndcg(queries, lambda query, at: list(range(1, 11)), nightly=False)
    ideal = 1 + 1 / np.log2(3)
    assert found.tolist() == pytest.approx(
        [1, (1 / np.log2(3) + 1 / np.log2(10)) / ideal, 0])


def test_a_list_of_the_night_knows_what_was_known_at_midnight() -> None:
    instants = list[float]()

    def order(query: Query, at: float) -> list[int]:
        instants.append(at)
        return [1]

    for nightly in (True, False):
        ndcg([asked("a", 1)], order, nightly=nightly)
    assert instants == [3 * DAY_S, 3 * DAY_S + 7.0]


def test_viewers_count_alike_however_many_queries_are_theirs() -> None:
    queries = [asked("a", 1)] * 9 + [asked("b", 1)]
    values = np.array([1.0] * 9 + [0.0])
    assert mean(queries, values) == 0.5
    low, high = interval(queries, values)
    assert low == 0 and high == 1


def test_what_was_seen_is_no_answer() -> None:
    scores = np.arange(12.0)
    assert first_ten(scores, np.array([11, 3])) == [10, 9, 8, 7, 6, 5, 4, 2, 1, 0]
