"""What drift compares: the right rows on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ml_assets.core.errors import UnknownName
from ml_assets.core.policies import DriftPolicy
from ml_assets.core.settings import Settings
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.monitoring.categories import CategorySamples
from ml_assets.monitoring.drift import ColumnSamples
from ml_assets.monitoring.samples import (
    EVENT_FOUND,
    SCORE,
    Reference,
    References,
    champion_at,
    reference_of,
    samples,
)
from ml_assets.registry.deployments import Deployments
from tests.made_sets import stored
from tests.toy import TOY

AT = datetime(2024, 1, 8, tzinfo=UTC)
POLICY = DriftPolicy(window=timedelta(days=7), min_events=2)


class HalfTheAmount:
    """Scores half of the first dense column, and one for the note `x`."""

    texts = ("note",)
    feature_names = ("amount", "shop_events")
    target = TOY.target

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        marked = np.array([note == "x" for note in texts["note"]])
        return np.where(marked, 1.0, dense[:, 0].astype(np.float64) / 2)[:, None]


def training_set() -> TrainingSet:
    rows = pd.DataFrame({
        "split": ["train", "train", "holdout", "holdout"],
        "note": ["x", "", "", "x"],
        "amount": [0.1, 0.2, 0.3, 0.4],
        "shop_events": [np.nan, 1.0, 2.0, 3.0],
    })
    return TrainingSet(
        version="set1", as_of=AT, feature_names=("amount", "shop_events"),
        texts=("note",), partitions=(date(2024, 1, 1), date(2024, 1, 7)),
        feature_service="toy_returns", labels=4, events_lacking=0, path=stored(rows),
    )


def predictions(
    versions: list[int], names: Sequence[str] = ("amount", "shop_events")
) -> pd.DataFrame:
    return pd.DataFrame({
        "features": [np.array([n, 10 * n], dtype=np.float32) for n in range(len(versions))],
        "feature_names": [list(names)] * len(versions),
        "model_version": versions,
        "score": [n / 10 for n in range(len(versions))],
    })


def test_inputs_are_compared_with_all_rows_and_scores_with_the_held_out_ones() -> None:
    reference = reference_of(training_set(), HalfTheAmount())
    assert reference.training_set == "set1"
    assert reference.names == ("amount", "shop_events")
    assert reference.dense.shape == (4, 2)
    assert np.allclose(reference.scores, [0.15, 1.0])


def test_every_prediction_counts_for_inputs_and_the_champions_own_for_scores() -> None:
    reference = reference_of(training_set(), HalfTheAmount())
    columns, rows = samples(reference, predictions([1, 2, 2]), 2, POLICY)
    assert rows == 3
    assert list(columns) == ["amount", "shop_events", SCORE]
    events, scores = columns["shop_events"], columns[SCORE]
    assert isinstance(events, ColumnSamples) and list(events.current) == [0, 10, 20]
    assert isinstance(scores, ColumnSamples) and list(scores.current) == [0.1, 0.2]


def test_scores_wait_until_the_champion_has_given_enough() -> None:
    reference = reference_of(training_set(), HalfTheAmount())
    columns, rows = samples(reference, predictions([1, 1, 2]), 2, POLICY)
    assert rows == 3
    assert SCORE not in columns


def test_predictions_with_other_features_are_left_out() -> None:
    reference = reference_of(training_set(), HalfTheAmount())
    mixed = pd.concat([predictions([1]), predictions([1], ("shop_events", "amount"))])
    assert samples(reference, mixed, 1, POLICY)[1] == 1
    assert samples(reference, predictions([1], ("amount",)), 1, POLICY) == ({}, 0)
    assert samples(reference, predictions([]), 1, POLICY) == ({}, 0)


def test_categories_are_compared_by_how_often_each_value_occurs() -> None:
    """Of events that were found; a missing value is a value."""
    data = training_set()
    channels = pd.Series(["web", "web", None, "shop"], dtype=object)
    data = replace(data, path=stored(data.rows.assign(channel=channels)),
                   coded=frozenset({"shop_events"}))
    reference = reference_of(data, HalfTheAmount(), categories=("channel",))
    rows = predictions([1, 1, 1]).assign(channel=channels[1:].reset_index(drop=True))
    rows[EVENT_FOUND] = pd.Series([True, True, None], dtype=object)
    columns, _ = samples(reference, rows, 1, POLICY)
    assert columns["channel"] == CategorySamples(
        reference={"web": 2, "": 1, "shop": 1}, current={"web": 1, "": 1})
    assert columns["shop_events"] == CategorySamples(
        reference={"1": 1, "2": 1, "3": 1, "": 1}, current={"0": 1, "10": 1, "20": 1})
    rows[EVENT_FOUND] = None
    assert "channel" not in samples(reference, rows, 1, POLICY)[0]


def test_a_reference_comes_back_as_it_was_stored(settings: Settings) -> None:
    """One of before categories is made anew."""
    data = replace(training_set(), coded=frozenset({"amount"}))
    kept = replace(reference_of(data, HalfTheAmount()),
                   categories={"note": {"x": 2, "\u00fc": 1, "": 1}})
    references = References(settings, TOY)
    references.keep(1, kept)
    read = references.read(1)
    assert (read.names, read.coded, read.categories) == (kept.names, kept.coded, kept.categories)
    path = settings.lake / "toy" / "drift_reference" / "2.npz"
    np.savez(path, training_set=np.array("set1"), names=np.array(["amount"]),
             dense=kept.dense[:, :1], scores=kept.scores)
    with pytest.raises(UnknownName, match="2"):
        references.read(2)
    assert not path.exists()


def test_the_champion_of_a_day_is_what_was_in_force_before_its_end(tmp_path: Path) -> None:
    record = Deployments(tmp_path / "deployments.sqlite")
    for version, days in ((1, 0), (2, 2)):
        record.promote("toy", version, reason="test", by="test", at=AT + timedelta(days=days))
    record.rollback("toy", reason="test", by="test", at=AT + timedelta(days=3, hours=1))
    history = record.history("toy")
    champions = [champion_at(history, AT + timedelta(days=n)) for n in range(5)]
    assert [c and c.version for c in champions] == [None, 1, 1, 2, 1]


def test_a_reference_is_plain_values() -> None:
    empty = Reference(training_set="", names=(), dense=np.empty((0, 0), np.float32),
                      scores=np.empty(0))
    assert samples(empty, predictions([1]), 1, POLICY) == ({}, 0)


def test_a_counter_is_compared_only_where_its_window_is_whole() -> None:
    """Before, it grows by construction; with too few such rows it is not judged at all."""
    days = [AT + timedelta(days=day) for day in range(-4, 0)]
    reference = replace(
        reference_of(training_set(), HalfTheAmount()),
        at=np.array([int(day.timestamp() * 1e6) for day in days], np.int64))
    served = predictions([1, 1, 1, 1]).assign(event_timestamp=pd.to_datetime([AT] * 4))
    filled = {"shop_events": AT - timedelta(days=2)}
    columns, _ = samples(reference, served, 1, POLICY, filled)
    amounts, counts = columns["amount"], columns["shop_events"]
    assert isinstance(amounts, ColumnSamples) and isinstance(counts, ColumnSamples)
    assert (len(amounts.reference), counts.reference.tolist()) == (4, [2.0, 3.0])
    columns, _ = samples(reference, served, 1, POLICY, {"shop_events": AT - timedelta(days=1)})
    assert "amount" in columns and "shop_events" not in columns
