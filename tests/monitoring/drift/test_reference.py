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
from ml_assets.core.settings import Settings
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.monitoring.drift.live import EVENT_FOUND, KeptCounts, live_rows
from ml_assets.monitoring.drift.of_days import champion_at, reign_at
from ml_assets.monitoring.drift.reference import References, reference_of
from ml_assets.monitoring.drift.watch import DayCounts, of_served
from ml_assets.registry.deployments import Deployments
from tests.made_sets import stored
from tests.toy import TOY

AT = datetime(2024, 1, 8, tzinfo=UTC)


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
        "event_timestamp": pd.to_datetime([AT + timedelta(days=n) for n in range(4)]),
        "channel": pd.Series(["web", "web", None, "shop"], dtype=object),
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
        "event_timestamp": pd.to_datetime([AT] * len(versions), utc=True),
    })


def test_inputs_are_compared_with_all_rows_and_scores_with_the_held_out_ones() -> None:
    reference = reference_of(training_set(), HalfTheAmount(), categories=("channel",))
    assert (reference.training_set, reference.names) == ("set1", ("amount", "shop_events"))
    assert reference.dense.shape == (4, 2)
    assert np.allclose(reference.scores, [0.15, 1.0])
    assert (len(reference.at), len(reference.scores_at)) == (4, 2)
    assert reference.categories["channel"].rows == ["web", "web", "", "shop"]


def test_every_answer_counts_for_inputs_and_the_champions_own_for_scores() -> None:
    rows = live_rows(predictions([1, 2, 2]), ("amount", "shop_events"), 2)
    assert rows.rows == 3 and rows.features[:, 1].tolist() == [0, 10, 20]
    assert np.isnan(rows.scores[0]) and rows.scores[1:].tolist() == [0.1, 0.2]


def test_answers_with_other_features_are_left_out() -> None:
    mixed = pd.concat([predictions([1]), predictions([1], ("shop_events", "amount"))])
    assert live_rows(mixed, ("amount", "shop_events"), 1).rows == 1
    assert live_rows(predictions([]), ("amount", "shop_events"), 1).features.shape == (0, 2)


def test_categories_are_those_of_events_that_were_found() -> None:
    rows = predictions([1, 1, 1]).assign(
        channel=pd.Series(["web", None, "shop"], dtype=object),
        **{EVENT_FOUND: pd.Series([True, True, None], dtype=object)})
    found = live_rows(rows, ("amount", "shop_events"), 1, ("channel",))
    assert found.categories["channel"].counted() == {"": 1, "web": 1}


def test_a_reference_comes_back_as_it_was_stored(settings: Settings) -> None:
    """One of an earlier release is made anew."""
    data = replace(training_set(), coded=frozenset({"amount"}))
    kept = reference_of(data, HalfTheAmount(), categories=("channel",))
    references = References(settings, TOY)
    references.keep(1, kept)
    read = references.read(1)
    assert (read.names, read.coded) == (kept.names, kept.coded)
    assert read.categories["channel"].rows == kept.categories["channel"].rows
    assert read.at.tolist() == kept.at.tolist() and read.scores.tolist() == kept.scores.tolist()
    path = settings.lake / "toy" / "drift_reference" / "2.npz"
    np.savez(path, training_set=np.array("set1"), names=np.array(["amount"]),
             dense=kept.dense[:, :1], scores=kept.scores)
    with pytest.raises(UnknownName, match="2"):
        references.read(2)
    assert not path.exists()


def test_a_reference_may_be_what_a_model_was_asked_first() -> None:
    rows = live_rows(predictions([1, 2, 2]), ("amount", "shop_events"), 2)
    first = of_served(rows, reference_of(training_set(), HalfTheAmount()))
    assert (first.dense.shape, first.scores.tolist()) == ((3, 2), [0.1, 0.2])
    assert first.training_set == "set1"


def test_counts_of_days_come_back_unless_they_are_of_another_reference(
    settings: Settings,
) -> None:
    kept = KeptCounts(settings, TOY, 1, "this")
    ones, day = np.ones((2, 3), np.int64), date(2024, 1, 8)
    kept[day] = DayCounts(rows=5, columns={"a/ü": ones[0]}, together=(ones[0], ones))
    kept[day + timedelta(days=1)] = DayCounts(rows=0, columns={"a/ü": ones[0] * 2})
    kept.save()
    again = KeptCounts(settings, TOY, 1, "this")
    assert list(again) == list(kept)
    assert again[day].rows == 5 and again[day].columns["a/ü"].tolist() == [1, 1, 1]
    together = again[day].together
    assert together is not None and together[1].shape == (2, 3)
    later = again[day + timedelta(days=1)]
    assert later.columns["a/ü"].tolist() == [2, 2, 2] and later.together is None
    assert len(KeptCounts(settings, TOY, 1, "other")) == 0


def test_the_champion_of_a_day_is_what_was_in_force_before_its_end(tmp_path: Path) -> None:
    record = Deployments(tmp_path / "deployments.sqlite")
    for version, days in ((1, 0), (2, 2)):
        record.promote("toy", version, reason="test", by="test", at=AT + timedelta(days=days))
    record.rollback("toy", reason="test", by="test", at=AT + timedelta(days=3, hours=1))
    history = record.history("toy")
    champions = [champion_at(history, AT + timedelta(days=n)) for n in range(5)]
    assert [c and c.version for c in champions] == [None, 1, 1, 2, 1]
    reigns = [reign_at(history, AT + timedelta(days=n)) for n in range(5)]
    assert [c and c.at.day for c in reigns] == [None, 8, 8, 10, 11]
