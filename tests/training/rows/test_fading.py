"""Old rows fade: of how long before the latest they happened, and of nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from ml_assets.core.model import Minibatch, Tabular
from ml_assets.core.model.network import Fit
from ml_assets.core.system import System
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.training.rows.fading import effective_rows, fading_weights
from ml_assets.training.rows.reading import rows_of
from ml_assets.training.rows.scoring import losses_of
from ml_assets.training.run import fitted_to
from tests.made_sets import stored
from tests.tickets import TICKETS
from tests.training.registered import history_of
from tests.trips import TRIPS

HALF_LIFE = timedelta(hours=12)
TRIPS_IN_BATCHES = replace(TRIPS, model=replace(
    TRIPS.model, network=Tabular(hidden=8, blocks=0, pieces=4),
    fit=Minibatch(batch=16, epochs=20, rate=0.02, validation=0, clip=None)))
SYSTEMS = (TICKETS, TRIPS_IN_BATCHES)
"""One of several answers of texts, all rows at once; a quantity of numbers, in mini-batches."""


def faded(system: System, half_life: timedelta | None) -> System:
    fit = system.model.fit
    assert isinstance(fit, Fit)
    return replace(system, model=replace(system.model, fit=replace(fit, half_life=half_life)))


def turned(system: System) -> TrainingSet:
    """Its first rows, of which the latest half says what no row before says."""
    made = history_of(system)
    rows = made.rows.sort_values("event_timestamp", kind="stable", ignore_index=True)
    before, since = ("billing", "returns") if system is TICKETS else (10.0, 40.0)
    late = np.arange(len(rows)) >= len(rows) / 2
    rows["label"] = np.where(late, since, before)
    if system is not TICKETS:
        rows["label"] = rows["label"].astype(float) + np.arange(len(rows)) % 3
    return replace(made, path=stored(rows, group=40))


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_a_row_counts_half_as_much_for_each_half_life_before_the_latest(system: System) -> None:
    made = turned(system)
    frame = made.rows[made.rows["split"] == "train"]
    rows = rows_of(faded(system, HALF_LIFE), made, "train")
    ages = (frame["event_timestamp"].max() - frame["event_timestamp"]) / HALF_LIFE
    assert rows.weights is not None
    np.testing.assert_allclose(rows.weights, 0.5 ** ages, rtol=1e-6)
    np.testing.assert_array_equal(rows.part(30, 90).weights, rows.weights[30:90])
    np.testing.assert_array_equal(rows.part(30, 90).whole().weights, rows.weights[30:90])
    assert rows_of(system, made, "train").weights is None
    assert rows_of(faded(system, HALF_LIFE), made, "holdout").weights is None, "judged alike"


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_what_has_changed_is_learnt_sooner_from_rows_that_fade(system: System) -> None:
    """On held-out rows, which say what only the latest training rows say."""
    made = turned(system)
    lost = {}
    for half_life in (None, HALF_LIFE):
        _, fitted = fitted_to(faded(system, half_life), made, before=None)
        lost[half_life] = losses_of(fitted.scorer, rows_of(system, made, "holdout")).mean()
    assert lost[HALF_LIFE] < 0.8 * lost[None]


def test_from_when_age_is_counted_changes_no_ratio() -> None:
    """So nothing vanishes because the latest row is old, and the earliest may."""
    hours = np.array([0, 12, 24, 36]) * 3_600_000_000
    found = fading_weights(hours, HALF_LIFE)
    assert found.tolist() == [0.125, 0.25, 0.5, 1] and found.dtype == np.float32
    assert fading_weights(hours + 10**15, HALF_LIFE).tolist() == found.tolist()
    assert fading_weights(hours, timedelta(minutes=1)).tolist() == [0, 0, 0, 1]
    assert len(fading_weights(hours[:0], HALF_LIFE)) == 0


def test_rows_that_count_little_make_few_rows() -> None:
    assert effective_rows(np.full(7, 0.3, np.float32)) == pytest.approx(7)
    assert effective_rows(np.array([1, 0, 1, 0], np.float32)) == 2
    assert effective_rows(np.array([1, 0.5], np.float32)) == pytest.approx(1.8)
    assert effective_rows(np.zeros(3, np.float32)) == 0
