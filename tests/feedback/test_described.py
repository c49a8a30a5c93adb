"""What a slice may name of live outcomes is what it may name of a training set."""

from __future__ import annotations

import pandas as pd

from ml_assets.core.settings import Settings
from ml_assets.core.slates import OF_ROWS, row_id
from ml_assets.core.time import midnight
from ml_assets.evaluation.slices import rows_of
from ml_assets.feedback.described import described
from ml_assets.ingest.tables import OUTCOME_COLUMNS
from tests.tracks import FIRST, TRACKS


def test_a_slice_of_live_rows_may_name_where_they_stood(settings: Settings) -> None:
    ids = [row_id("page", 1), row_id("page", 2), "alone"]
    outcomes = pd.DataFrame(dict.fromkeys(OUTCOME_COLUMNS), index=range(3)).assign(
        prediction_id=ids, event_id=ids, event_timestamp=pd.Timestamp(midnight(FIRST)),
        propensity=0.5)
    rows = described(TRACKS, settings, outcomes)
    assert set(OF_ROWS) <= set(rows.columns)
    [first] = (part for part in TRACKS.slices if part.name == "first")
    assert rows_of(first, rows).tolist() == [True, False, True]
