"""Our forecasts of each week, along the product's own path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.systems_load.trends.rows import Floats, Year, week_of
from ml_assets.core.model.network import Fit
from ml_assets.core.system import System
from ml_assets.training.rows.fading import fading_weights
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.rows.scoring import outputs_of_rows
from ml_assets.training.run import fitted_with_interval
from ml_assets.training.scored import TrainedScorer


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """(N, T) of N commodities in T weeks: what was expected, and the ends of its interval."""

    value: Floats
    lower: Floats
    upper: Floats


def forecast(
    system: System, year: Year, weeks: Sequence[int], *, frozen: bool
) -> Forecasts:
    """Of each week, by a model of all that was known a week before it began, as the loop trains it:
    on the night of the Monday before.

    frozen: by the model of before the first of them, for all
    """
    rows = week_of(year.rows)
    scorer: TrainedScorer | None = None
    found = []
    for week in weeks:
        if scorer is None or not frozen:
            known = _rows(year, (rows["week"] <= week - 2).to_numpy(), faded=system.model.fit)
            scorer = fitted_with_interval(system.model, system.target, known)[1].scorer
        asked = (rows["week"] == week).to_numpy()
        place = {name: at for at, name in enumerate(rows["commodity"][asked])}
        outputs = outputs_of_rows(scorer, _rows(year, asked))
        found.append(outputs[[place[name] for name in year.commodities]])
    value, lower, upper = np.stack(found, axis=1).transpose(2, 0, 1)
    return Forecasts(value=value, lower=lower, upper=upper)


def _rows(year: Year, chosen: np.ndarray, faded: Fit | None = None) -> LabelledRows:
    """faded: by which the rows count less the older they are"""
    rows, weights = year.rows[chosen], None
    if faded is not None and faded.half_life is not None:
        happened = rows["event_timestamp"].dt.as_unit("us").astype("int64").to_numpy()
        weights = fading_weights(happened, faded.half_life)
    return LabelledRows(
        texts={}, dense=rows[list(year.built.feature_names)].to_numpy(np.float32),
        codes=rows["label"].to_numpy(np.float64), feature_names=year.built.feature_names,
        coded=year.built.coded, weights=weights)
