"""Laws of recomputing what was served."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.features.parity import compare
from ml_assets.ingest.tables import raw_schema
from ml_assets.monitoring.parity import ParityReports, parity_day, recompute
from tests.toy import TOY

RAW = raw_schema(TOY)

AS_OF = datetime(2024, 1, 9, tzinfo=UTC)
DAY = date(2024, 1, 9)


class Remembered:
    """History that knows how often each shop was seen, and counts the hours since 2024."""

    names = ("shop_events", "hours")
    seen: tuple[pd.DataFrame, pd.Series[pd.Timestamp]]
    positions: list[int]

    def read_at(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], positions: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        self.seen, self.positions = (keys, at), positions.tolist()
        counts = {"corner": 3.0, "": np.nan}
        first = pd.Timestamp("2024-01-01", tz="UTC")
        return np.array(
            [[counts.get(shop, np.nan), (when - first).total_seconds() / 3600]
             for shop, when in zip(keys["shop"], at, strict=True)], dtype=np.float32,
        ).reshape(len(keys), 2)


def served(count: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(predictions, raw) of purchases at the corner shop, amounts 0.1, 1.1 ..."""
    ids = [f"e{n}" for n in range(count)]
    amounts = [0.1 + n for n in range(count)]
    predictions = pd.DataFrame({
        "prediction_id": [f"p{n}" for n in range(count)],
        "event_id": ids,
        "event_timestamp": pd.to_datetime([AS_OF] * count),
        "accepted_at": pd.to_datetime([AS_OF + timedelta(hours=n + 1) for n in range(count)]),
        "features_as_of": pd.to_datetime([AS_OF] * count),
        "features": [np.array([amount, 3.0, 192.0], dtype=np.float32) for amount in amounts],
        "feature_names": [["amount", "shop_events", "hours"]] * count,
        "degraded": [False] * count,
        "state_seq": [7 * n for n in range(count)],
    })
    raw = pd.DataFrame(
        [(event_id, AS_OF, AS_OF, json.dumps({"shop": "corner", "amount": amount}), None, None,
          None, None)
         for event_id, amount in zip(ids, amounts, strict=True)], columns=RAW.names,
    )
    return predictions, raw.iloc[::-1]


def test_what_was_served_comes_out_again_bit_by_bit() -> None:
    predictions, raw = served()
    offline = Remembered()
    again = recompute(TOY, predictions, raw, offline)
    assert again.names == ("amount", "shop_events", "hours")
    report = compare(predictions, again.vectors, feature_names=again.names)
    assert (report.checked, report.exact, report.unexplained) == (3, 3, 0)
    keys, at = offline.seen
    assert list(keys["shop"]) == ["corner"] * 3
    assert set(at) == {pd.Timestamp(AS_OF)}
    assert offline.positions == [0, 7, 14]


def test_one_changed_bit_is_found_and_named(settings: Settings) -> None:
    predictions, raw = served()
    vector = predictions["features"].iloc[1]
    vector[1] = np.nextafter(vector[1], np.float32(9))
    again = recompute(TOY, predictions, raw, Remembered())
    report = compare(predictions, again.vectors, feature_names=again.names)
    kept = parity_day(DAY, report, unparsable=0)
    assert not kept.holds
    assert (kept.worst[0].prediction_id, kept.worst[0].feature) == ("p1", "shop_events")
    reports = ParityReports(settings, TOY)
    reports.write(kept)
    assert reports.latest() == kept


def test_a_request_that_no_longer_parses_breaks_parity() -> None:
    predictions, raw = served()
    raw.loc[raw["event_id"] == "e0", "request"] = '{"amount": "much"}'
    again = recompute(TOY, predictions, raw, Remembered())
    assert again.unparsable == ("e0",)
    assert np.isnan(again.vectors[0]).all()
    report = compare(predictions, again.vectors, feature_names=again.names)
    assert report.unexplained == 1
    assert not parity_day(DAY, report, unparsable=len(again.unparsable)).holds


def test_a_degraded_prediction_is_not_looked_up() -> None:
    """Its instant is the event's own, which history may not have reached."""
    predictions, raw = served()
    predictions.loc[2, "degraded"] = True
    predictions.loc[2, "features_as_of"] = pd.Timestamp("2030-01-01", tz="UTC")
    offline = Remembered()
    again = recompute(TOY, predictions, raw, offline)
    assert len(offline.seen[0]) == 2
    report = compare(predictions, again.vectors, feature_names=again.names)
    assert (report.checked, report.degraded, report.unexplained) == (2, 1, 0)


def test_a_day_without_predictions_holds() -> None:
    predictions, raw = served(0)
    again = recompute(TOY, predictions, raw, Remembered())
    assert again.vectors.shape == (0, 3)
    report = compare(predictions, again.vectors, feature_names=again.names)
    assert parity_day(DAY, report, unparsable=0).holds


def test_a_served_event_without_its_raw_row_is_named() -> None:
    predictions, raw = served()
    with pytest.raises(NotReady, match=r"'e1'.*toy/raw"):
        recompute(TOY, predictions, raw[raw["event_id"] != "e1"], Remembered())


def test_what_was_logged_before_there_were_positions_is_not_looked_up() -> None:
    predictions, raw = served()
    predictions["state_seq"] = [None, 7, None]
    offline = Remembered()
    again = recompute(TOY, predictions, raw, offline)
    assert offline.positions == [7]
    report = compare(predictions, again.vectors, feature_names=again.names)
    assert (report.checked, report.without_position, report.unexplained) == (1, 2, 0)
