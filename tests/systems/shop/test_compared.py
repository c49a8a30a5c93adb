"""What follows from counts, for each row by itself."""

from __future__ import annotations

import numpy as np

from ml_assets.systems.shop.compared import compared

DAY = 86_400.0
ROWS = {
    "theirs_7d": np.array([0.0, 0.0]), "theirs_14d": np.array([1.0, 0.0]),
    "theirs_28d": np.array([2.0, 0.0]), "theirs_56d": np.array([5.0, 0.0]),
    "theirs_112d": np.array([5.0, 0.0]), "theirs_224d": np.array([5.0, 0.0]),
    "all_theirs_28d": np.array([8.0, 0.0]), "all_theirs_112d": np.array([50.0, 0.0]),
    "since_theirs": np.array([14 * DAY, np.nan]), "since_their_first": np.array([42 * DAY, np.nan]),
    "sold_7d": np.array([10.0, 0.0]), "sold_112d": np.array([40.0, 0.0]),
    "paid_7d": np.array([1.5, np.nan]), "paid_112d": np.array([2.0, np.nan]),
    "discount_7d": np.array([0.5, np.nan]), "discount_112d": np.array([0.2, np.nan]),
    "event_timestamp": np.array(["2017-07-04T21:30", "2017-07-03T02:00"], "M8[us]"),
}


def test_a_grocery_is_overdue_by_the_pace_at_which_it_was_bought() -> None:
    found = compared(ROWS)
    # Five times within four weeks, a week apart, and not for two weeks.
    assert found["overdue"].tolist()[0] == 2.0
    assert found["their_share_28d"][0] == 0.25
    assert found["price_now"][0] == 0.75


def test_a_purchase_weighs_by_the_middle_of_the_window_that_it_is_in() -> None:
    found = compared(ROWS)["decayed"]
    assert found.tolist() == [2 ** (-10.5 / 60) + 2 ** (-21 / 60) + 3 * 2 ** (-42 / 60), 0.0]


def test_what_is_not_known_has_no_value_and_shares_of_nothing_are_zero() -> None:
    found = compared(ROWS)
    assert np.isnan(found["overdue"][1]) and np.isnan(found["price_now"][1])
    assert (found["their_share_28d"][1], found["share_of_sales"][1]) == (0, 0)


def test_weekdays_are_those_of_the_shop() -> None:
    found = compared(ROWS)
    assert found["weekday"].tolist() == [1, 6]  # Tuesday; Sunday evening, Monday in UTC
    assert found["hour"].tolist() == [16.5, 21.0]
