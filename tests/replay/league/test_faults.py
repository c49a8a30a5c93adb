"""A fault takes what the model would miss, and leaves all else and all before it as it was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from ml_assets.core.system import System
from ml_assets.replay.league.faults import drift, feature_bug
from ml_assets.replay.league.past import RecordedPast
from tests.toy import TOY

FROM = pd.Timestamp("2024-03-01", tz="UTC")
ROWS = 4_000


@dataclass(kw_only=True)
class Told:
    """A past as far as a fault in its rows reads it."""

    rows: pd.DataFrame
    system: System = TOY

    @property
    def about(self) -> Any:
        return SimpleNamespace(feature_names=tuple(
            name for name in self.rows if name not in ("event_timestamp", "truth")))

    def with_rows(self, rows: pd.DataFrame, name: str) -> Told:
        return replace(self, rows=rows)


@pytest.fixture
def told() -> Told:
    """`risk` says something, `doubled` goes with it, `noise` says nothing; `seldom` says most, but
    is 0 in 99 of 100 rows."""
    draw = np.random.default_rng(3)
    truth = draw.random(ROWS) < 0.1
    risk = draw.normal(size=ROWS) + 0.7 * truth
    return Told(rows=pd.DataFrame({
        "event_timestamp": FROM + pd.to_timedelta(np.arange(ROWS) - ROWS // 2, unit="min"),
        "truth": truth, "risk": risk, "doubled": 2 * risk + 0.1 * draw.normal(size=ROWS),
        "noise": draw.normal(size=ROWS),
        "seldom": np.where(truth & (draw.random(ROWS) < 0.06), 100.0, 0.0)}))


def spoilt(fault: Any, told: Told) -> pd.DataFrame:
    made = cast("Told", fault(cast("RecordedPast", told), FROM)).rows
    before = (told.rows["event_timestamp"] < FROM).to_numpy()
    pd.testing.assert_frame_equal(made[before], told.rows[before])
    return made[~before]


def test_what_is_made_of_the_missing_feature_is_missing_too(told: Told) -> None:
    """Or a model that reads both would not miss it."""
    rows = told.rows.drop(columns="seldom")
    later = spoilt(feature_bug, replace(told, rows=rows))
    assert later[["risk", "doubled"]].isna().all(axis=None)
    assert later["noise"].notna().all()


def test_a_world_turns_in_a_feature_that_has_two_sides(told: Told) -> None:
    """Not in one that is nearly always 0, whose mirror is 0."""
    later = spoilt(drift, told)
    before = told.rows[told.rows["event_timestamp"] >= FROM]
    for name in ("risk", "doubled"):
        assert np.corrcoef(later[name], before[name])[0, 1] == pytest.approx(-1)
    for name in ("noise", "seldom"):
        np.testing.assert_array_equal(later[name], before[name])


def test_what_the_model_does_not_read_is_not_what_goes_wrong(told: Told) -> None:
    """Although it says most of all."""
    model = replace(TOY.model, without=("seldom",))
    assert spoilt(feature_bug, told)["seldom"].isna().all()
    later = spoilt(feature_bug, replace(told, system=replace(TOY, model=model)))
    assert later["risk"].isna().all() and later["seldom"].notna().all()
