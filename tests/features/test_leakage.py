"""The proof that no feature knows its event's future finds one that does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY
from ml_assets.features.history_inputs import HistoryInputs, all_inputs
from ml_assets.features.leakage import leaking_rows
from ml_assets.features.manifest import Aggregate, View
from ml_assets.ingest.lake import Lake
from tests.features.recorded import first_days, record
from tests.toy import TOY

VIEW = View(
    name="toy_shop_history", system="toy", table="shop_history", key="shop", description="",
    definition="1",
    aggregates=(
        Aggregate(name="shop_events_2d", kind="count", over="events", window=2 * DAY),
        Aggregate(name="shop_rate_4d", kind="rate", over="labels", window=4 * DAY, prior=0.3,
                  weight=2),
    ),
)
NAMES = list(VIEW.features)


@pytest.fixture
def inputs(settings: Settings) -> HistoryInputs:
    days = first_days(TOY, 7)
    record(settings, TOY, days)
    return all_inputs(Lake(settings.lake), TOY, days[-1])


def as_remembered(inputs: HistoryInputs, lateness: int = 0) -> pd.DataFrame:
    """Events with the values of their day's midnight, `lateness` days later; counted plainly."""
    events = inputs.events.to_pandas()
    labels = inputs.labels.to_pandas().merge(events[["event_id", "shop"]], on="event_id")
    rows = []
    for event in events.itertuples():
        at = event.event_timestamp.floor("D") + lateness * DAY
        mine = events[(events["shop"] == event.shop) & (events["event_timestamp"] < at)]
        heard = labels[(labels["shop"] == event.shop) & (labels["known_at"] < at)
                       & (labels["known_at"] >= at - 4 * DAY)]
        if event.shop == "" or mine.empty:
            rows.append((np.nan, np.nan))
            continue
        count = int((mine["event_timestamp"] >= at - 2 * DAY).sum())
        rows.append((count, (heard["label"].sum() + 0.6) / (len(heard) + 2)))
    values = pd.DataFrame(rows, columns=NAMES).astype("float32")
    remembered: pd.DataFrame = events[["event_id", "event_timestamp", "shop"]].join(values)
    return remembered


def test_features_of_the_past_alone_pass(inputs: HistoryInputs) -> None:
    assert not leaking_rows(as_remembered(inputs), [VIEW], inputs).any()


def test_features_that_saw_the_event_s_own_day_are_found(inputs: HistoryInputs) -> None:
    assert leaking_rows(as_remembered(inputs, lateness=1), [VIEW], inputs).mean() > 0.5


def test_one_wrong_bit_is_found(inputs: HistoryInputs) -> None:
    rows = as_remembered(inputs)
    known = rows.index[rows["shop_rate_4d"].notna()][-1]
    values = rows["shop_rate_4d"].to_numpy(copy=True)
    values.view(np.uint32)[known] ^= 1
    found = leaking_rows(rows.assign(shop_rate_4d=values), [VIEW], inputs)
    assert np.flatnonzero(found).tolist() == [known]


def test_a_value_where_nothing_was_known_is_found(inputs: HistoryInputs) -> None:
    rows = as_remembered(inputs)
    stranger = rows.index[rows["shop_events_2d"].isna()][0]
    rows.loc[stranger, NAMES] = (3, 0.5)
    assert np.flatnonzero(leaking_rows(rows, [VIEW], inputs)).tolist() == [stranger]


def test_no_row_leaks_nothing(inputs: HistoryInputs) -> None:
    empty = as_remembered(inputs).head(0)
    assert leaking_rows(empty, [VIEW], inputs).shape == (0,)
