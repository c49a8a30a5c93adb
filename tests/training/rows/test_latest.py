"""Rows that chose the number of epochs are learnt from in the end, whatever a system predicts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from ml_assets.core.model import FullBatch, Minibatch, Tabular
from ml_assets.core.system import System
from ml_assets.targets import Number
from ml_assets.training.fit import fit
from ml_assets.training.loop.history import FitHistory
from ml_assets.training.networks import fit as networks
from ml_assets.training.rows.reading import rows_of
from ml_assets.training.run import fitted_with_interval
from ml_assets.training.scored import Fitted, TrainedScorer
from tests.training.rows.killed import SYSTEM as TICKETS
from tests.training.rows.killed import set_of
from tests.trips import TRIPS

FIT = Minibatch(batch=16, epochs=3, buffer=64, rate=0.02)
SYSTEMS = tuple(replace(each, model=replace(each.model, fit=FIT, network=Tabular(
    hidden=8, blocks=0, pieces=4))) for each in (TICKETS, TRIPS))
"""One of several answers of texts; a quantity of numbers."""


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_the_latest_rows_count_as_if_they_had_chosen_nothing(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit. Without the second fit they count nothing at all."""
    monkeypatch.setattr(networks, "export", lambda *network: b"")  # nobody scores with it
    rows = rows_of(system, set_of(system), "train")

    def fitted(declared: Minibatch, stop: int) -> Fitted[TrainedScorer]:
        return fit(replace(system.model, fit=declared), system.target, rows.part(0, stop))

    whole = fitted(FIT, len(rows))
    assert isinstance(whole.convergence, FitHistory) and whole.convergence.again is not None
    plain = fitted(replace(FIT, validation=0, epochs=whole.convergence.best), len(rows))
    early = fitted(replace(FIT, refit=False), len(rows))
    for name, values in whole.state.items():
        np.testing.assert_array_equal(values, plain.state[name])
    assert any((values != early.state[name]).any() for name, values in whole.state.items())
    assert whole.convergence.epochs == early.convergence.epochs  # type: ignore[attr-defined]


SALES = replace(TRIPS, target=Number(
    name="sold", unit="USD", minimum=0, maximum=1e6, tolerance=0.2, errors="relative",
    interval=0.8), model=replace(TRIPS.model, fit=FullBatch(half_life=timedelta(days=1))))
"""Shares of what was expected, of rows that fade."""


@pytest.mark.parametrize("system", [TRIPS, SALES], ids=["absolute", "relative"])
def test_rows_that_an_interval_is_learnt_from_are_fitted_to_in_the_end(system: System) -> None:
    """The network is that of all rows; the interval is what one of the rows before them erred."""
    assert isinstance(system.target, Number) and system.model.fit is not None
    rows = rows_of(system, set_of(system), "train")
    assert system.target.kept_back(len(rows)) >= 19

    once = replace(system.model, fit=replace(system.model.fit, refit=False))
    fitted_rows, found = fitted_with_interval(system.model, system.target, rows)
    earlier, alone = fitted_with_interval(once, system.target, rows)
    assert len(fitted_rows) == len(rows) == len(earlier) + system.target.kept_back(len(rows))
    whole = fit(system.model, system.target, rows)
    for name, values in found.state.items():
        np.testing.assert_array_equal(values, whole.state[name])
    assert any((values != alone.state[name]).any() for name, values in found.state.items())
    scale = found.scorer.scale
    assert (scale.mean, scale.deviation) == (whole.scorer.scale.mean, whole.scorer.scale.deviation)
    assert 0 < scale.above < np.inf
    assert (scale.below, scale.above) == (alone.scorer.scale.below, alone.scorer.scale.above)
