"""The simple rules that the shop is held against, and by what all lists are judged."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from benchmarks.systems_load.shop.protocol import Day, Peers, Query
from ml_assets.core.time import midnight

FIRST = date(2017, 3, 1)


def query(*wanted: str, basket: tuple[str, ...] = (), household: str = "h") -> Query:
    at = midnight(FIRST)
    return Query(household=household, at=at, midnight=at, basket=basket, wanted=frozenset(wanted))


def day(number: int, *groceries: str, household: str = "h") -> Day:
    return Day(day=FIRST + timedelta(days=number), nightly=(), completion=(),
               lines=[(household, each) for each in groceries])


def test_a_list_is_judged_by_how_high_stands_what_was_bought() -> None:
    assert query("a", "b").ndcg(["a", "b", "c"]) == 1
    assert query("a").ndcg(["b", "a"]) == pytest.approx(1 / np.log2(3))
    assert query("a").ndcg([*"bcdefghijk", "a"]) == 0


def test_a_purchase_of_a_half_life_ago_counts_half() -> None:
    peers = Peers()
    peers.count(day(0, "a", "b", "c"))
    peers.count(day(0, "b"))
    peers.count(day(60, "a"))
    peers.count(day(61, "x", "c", "c", "c", household="other"))
    assert peers.counts["h"] == {"a": 2, "b": 2, "c": 1}
    assert list(peers.by_count(query("a")))[2] == "c"
    assert peers.decayed["h"] == {"a": 1.5, "b": 1.0, "c": 0.5}
    assert list(peers.by_decay(query("a")))[:3] == ["a", "b", "c"]
    assert peers.by_popularity(query("a"))[0] == "c"
    assert peers.by_decay(query("a"))[3:] == ["x"], "then what is popular"
    assert not peers.knows("nobody")


def test_what_is_in_the_basket_is_not_offered_again() -> None:
    peers = Peers()
    peers.count(day(0, "a", "a", "b"))
    asked = query("b", basket=("a",))
    assert peers.by_decay(asked)[0] == "a"
    assert peers.by_decay_without_basket(asked) == ["b"]
    assert "a" not in peers.by_last_five(asked)


def test_what_goes_with_the_basket_comes_first() -> None:
    peers = Peers()
    for number in range(12):
        pair = ("bread", "butter") if number % 2 else ("tea", "milk")
        lines = [*pair, *(f"{each}{number}" for each in "abcd")]
        peers.count(Day(day=FIRST, nightly=(), lines=[("h", each) for each in lines],
                        completion=[query(*lines[5:], basket=tuple(lines[:5]))] * 2))
    assert peers.by_last_five(query("butter", basket=("bread",)))[0] == "butter"
    assert peers.by_last_five(query("milk", basket=("tea",)))[0] == "milk"
