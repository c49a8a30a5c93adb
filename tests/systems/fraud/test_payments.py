"""Payments of any number of customers: a day at a time, with scenarios that come and go."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest

from ml_assets.systems.fraud.payments import drawn
from ml_assets.systems.fraud.scenarios import Dear, Spell, Stolen, Tampered

ALL = (Spell(scenario=Dear()), Spell(scenario=Tampered()), Spell(scenario=Stolen()))


def frauds(spells: Sequence[Spell], customers: int = 300, days: int = 60) -> np.ndarray:
    """(days, 4) how many payments of each day are of which scenario."""
    return np.stack([np.bincount(made.scenario, minlength=4)
                     for made in drawn(customers, days, spells, 3)])


def test_a_day_depends_on_no_other() -> None:
    """So a year can be begun anywhere, and two runs see the same."""
    whole = list(drawn(100, 12, ALL, 3))
    again = list(drawn(100, 12, ALL, 3))
    for day, (made, same) in enumerate(zip(whole, again, strict=True)):
        assert all((values == getattr(same, name)).all() for name, values in vars(made).items())
        assert (made.day == day).all() and (np.diff(made.second) >= 0).all()
    other = next(drawn(100, 1, ALL, 4))
    assert len(other.second) != len(whole[0].second)


def test_there_is_as_much_fraud_as_in_the_handbook() -> None:
    """0.84% of payments, most of it at terminals that were tampered with."""
    counts = frauds(ALL, customers=2_000, days=120).sum(axis=0)
    assert counts[0] + counts[1:].sum() == pytest.approx(2_000 * 120 * 1.93, rel=0.03)
    assert counts[1:].sum() / counts.sum() == pytest.approx(0.0084, rel=0.15)
    assert counts[2] > counts[3] > counts[1]


def test_scenarios_switch_on_off_and_over_at_their_days() -> None:
    by_day = frauds((Spell(scenario=Dear(), end=20),
                     Spell(scenario=Tampered(a_day=40), first=10, end=40),
                     Spell(scenario=Stolen(a_day=60), end=30),
                     Spell(scenario=Stolen(a_day=60, factor=0.1), first=30)))
    assert by_day[:20, 1].sum() > 0 and by_day[20:, 1].sum() == 0
    assert by_day[:10, 2].sum() == 0 == by_day[40:, 2].sum() and by_day[10:40, 2].sum() > 50
    assert (by_day[5:, 3] > 0).mean() > 0.9


def test_thieves_change_the_size_of_payments() -> None:
    for factor in (5.0, 0.1):
        plain = list(drawn(300, 20, (), 3))
        stolen = list(drawn(300, 20, (Spell(scenario=Stolen(a_day=60, factor=factor)),), 3))
        for before, after in zip(plain, stolen, strict=True):
            theirs = after.scenario == 3
            assert (after.amount[~theirs] == before.amount[~theirs]).all()
            assert after.amount[theirs] == pytest.approx(before.amount[theirs] * factor, abs=0.01)


def test_no_more_than_a_day_is_held() -> None:
    """Ten times the days take no more memory."""
    peaks = []
    for days in (4, 40):
        tracemalloc.start()
        for _ in drawn(500, days, ALL, 3):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
