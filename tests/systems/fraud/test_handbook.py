"""The handbook's payments, number for number."""

from __future__ import annotations

import numpy as np
import pytest

from ml_assets.systems.fraud.handbook import _of_customer, handbook
from ml_assets.systems.fraud.world import RADIUS, Reach, World


def test_customers_are_drawn_as_published() -> None:
    """Of five customers, the first two as the handbook's page shows them."""
    world = World.published(5, 5)
    assert world.customers[0] == pytest.approx((54.881350, 71.518937), abs=1e-6)
    assert world.mean[:2] == pytest.approx((62.262521, 46.570785), abs=1e-6)
    assert world.rate[:2] == pytest.approx((2.179533, 3.567092), abs=1e-6)


def test_a_customer_pays_as_published() -> None:
    """The first payments of customer 0 as the handbook's page shows them, in the order in which
    they are drawn; the terminals within 50 of five are 0 to 3 there.
    """
    near = Reach(starts=np.array([0, 4]), terminals=np.arange(4, dtype=np.int32))
    seconds, terminals, amounts = _of_customer(0, World.published(5, 5), near, 5)
    assert seconds[:3].tolist() == [26_345, 68_522, 64_816]
    assert terminals[:3].tolist() == [3, 3, 0]
    assert amounts[:3].tolist() == [123.59, 46.51, 77.34]


def test_who_reaches_what_is_what_a_comparison_of_all_finds() -> None:
    world = World.published(300, 500)
    reach = world.reach()
    for customer in range(300):
        apart = np.sqrt(np.square(world.customers[customer] - world.terminals).sum(axis=1))
        assert reach.of(customer).tolist() == np.flatnonzero(apart < RADIUS).tolist()


def test_a_small_year_is_the_same_each_time_and_in_order() -> None:
    (made, added), (again, _) = handbook(60, 2_000, 20), handbook(60, 2_000, 20)
    assert all((values == getattr(again, name)).all() for name, values in vars(made).items())
    assert (np.diff(made.second) >= 0).all() and (made.amount >= 0).all()
    assert sum(added) == np.count_nonzero(made.scenario)
    dear = made.scenario == 1
    assert (made.amount[dear] > 220).all() and not (made.amount[made.scenario == 0] > 220).any()


@pytest.mark.slow
def test_at_the_published_numbers_it_is_the_published_table() -> None:
    """1,754,155 payments, 14,681 frauds; each scenario's as the handbook counts them."""
    made, added = handbook()
    assert (len(made.second), added) == (1_754_155, (978, 9_099, 4_604))
    assert np.count_nonzero(made.scenario) == 14_681
