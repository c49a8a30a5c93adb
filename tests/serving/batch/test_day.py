"""A day scored in portions is the day scored at once, in bounded memory, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ml_assets.core.settings import Settings
from ml_assets.ingest.events import parse_raw, raw_from_log
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import batch_schema, events_schema
from ml_assets.serving.batch.day import DayScorer
from ml_assets.serving.batch.summary import SHOWN, ScoreSummary
from ml_assets.serving.batch.tables import (
    agreement,
    batch_rows,
    served_rows,
)
from tests.serving.kit import NOON, FakeHistory, FakeScorer, Toy, asked, serving
from tests.toy import TOY

BATCH_PREDICTIONS = batch_schema(TOY)

DAY = NOON.date()
COUNT = 23


@pytest.fixture
def toy(settings: Settings) -> Toy:
    """A day of purchases: in the log with their answers, and in the lake."""
    toy = Toy(settings=settings)
    toy.deploy(1)
    with serving(toy) as api:
        for n in range(COUNT):
            toy.clock.set(NOON + timedelta(seconds=n // 3))  # some at the same instant
            api.post("/v1/toy/predict", json=asked(f"e{n}", amount=float(n),
                                                   shop=("corner", "mall")[n % 2]))
    log = EventLog(settings.event_log)
    events = parse_raw(TOY, raw_from_log(
        list(log.predictions("toy", NOON, NOON + timedelta(days=1))))).events
    log.close()
    Lake(settings.lake).write("toy", "events", DAY, events, events_schema(TOY))
    return toy


@pytest.fixture
def log(toy: Toy) -> Iterator[EventLog]:
    log = EventLog(toy.settings.event_log)
    yield log
    log.close()


def scorer_of(toy: Toy, log: EventLog, **other: Any) -> DayScorer:
    return DayScorer(**{
        "system": TOY, "scorer": FakeScorer(), "version": 1, "history": FakeHistory(),
        "lake": Lake(toy.settings.lake), "log": log, "at": NOON, **other,
    })


def stored(toy: Toy) -> pd.DataFrame:
    return Lake(toy.settings.lake).read("toy", "batch_predictions", BATCH_PREDICTIONS)


@pytest.mark.parametrize(("scored", "asked_at_once"), [(1, 1), (2, 6), (5, 10), (23, 23), (50, 50)])
def test_a_day_in_portions_is_the_day_at_once(
    toy: Toy, log: EventLog, scored: int, asked_at_once: int
) -> None:
    """The law: neither a row nor what is told of them depends on the size of the portions."""
    events = Lake(toy.settings.lake).read("toy", "events", events_schema(TOY))
    features = FakeHistory().read(events, events["event_timestamp"],
                                  accepted_at=events["accepted_at"])
    whole = batch_rows(TOY, FakeScorer(), 1, events, features, at=NOON)
    served = served_rows(log.predictions("toy", NOON, NOON + timedelta(days=1)))
    summary = ScoreSummary()
    scorer_of(toy, log, scored=scored, asked=asked_at_once).score(DAY, summary)
    rows = stored(toy)
    for name in ("event_id", "event_timestamp", "score", "decision", "scored_at", "basis"):
        assert rows[name].tolist() == whole[name].tolist()
    assert np.array_equal(np.stack(rows["features"].tolist()),
                          np.stack(whole["features"].tolist()), equal_nan=True)
    found = agreement(whole, served)
    assert (summary.compared, summary.differing) == (found.compared, 0)
    assert summary.compared > COUNT / 3
    assert (summary.rows, summary.scores().tolist()) == (COUNT, whole["score"].tolist())
    assert summary.preview["event_id"].tolist() == whole["event_id"].head(SHOWN).tolist()


def test_no_more_than_a_portion_is_asked_about_or_scored_at_once(toy: Toy, log: EventLog) -> None:
    history = FakeHistory()
    scorer_of(toy, log, history=history, scored=5, asked=10).score(DAY, ScoreSummary())
    assert history.sizes == [10, 10, 3]


def test_a_crash_midway_leaves_the_scores_of_before(toy: Toy, log: EventLog) -> None:
    class Dies(FakeScorer):
        def outputs(
            self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
        ) -> npt.NDArray[np.float64]:
            if COUNT - 1 in dense[:, 0]:
                raise MemoryError
            return super().outputs(texts, dense)

    scorer_of(toy, log).score(DAY, ScoreSummary())
    before = stored(toy)
    with pytest.raises(MemoryError):
        scorer_of(toy, log, scorer=Dies(bias=1.0), version=2, scored=5, asked=5).score(
            DAY, ScoreSummary())
    pd.testing.assert_frame_equal(stored(toy), before)


def test_a_day_without_events_has_an_empty_partition(toy: Toy, log: EventLog) -> None:
    lake, tomorrow = Lake(toy.settings.lake), DAY + timedelta(days=1)
    none = parse_raw(TOY, raw_from_log([])).events
    lake.write("toy", "events", tomorrow, none, events_schema(TOY))
    summary = ScoreSummary()
    scorer_of(toy, log).score(tomorrow, summary)
    assert lake.days("toy", "batch_predictions") == [tomorrow]
    assert (summary.rows, summary.compared, len(summary.preview)) == (0, 0, 0)


def test_a_model_that_scores_otherwise_than_it_did_is_counted_in_every_portion(
    toy: Toy, log: EventLog
) -> None:
    for scored in (2, 50):
        summary = ScoreSummary()
        scorer_of(toy, log, scorer=FakeScorer(bias=0.5), scored=scored, asked=scored).score(
            DAY, summary)
        assert summary.differing == summary.compared > 0
