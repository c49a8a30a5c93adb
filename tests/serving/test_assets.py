"""The serving and feedback assets, materialised for days on which the API answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ml_assets.core.assets import key
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.feedback import assets as feedback
from ml_assets.ingest.events import parse_raw, raw_from_log
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.resources import lake_resource
from ml_assets.ingest.tables import (
    batch_schema,
    events_schema,
    known_schema,
    outcomes_schema,
    predictions_schema,
)
from ml_assets.serving import assets as serving_assets
from ml_assets.serving.batch import daily
from ml_assets.serving.composition import Backends
from tests.serving.kit import NOON, FakeScorer, Toy, asked, serving
from tests.toy import TOY

BATCH_PREDICTIONS = batch_schema(TOY)
LABELS = known_schema(TOY)
OUTCOMES = outcomes_schema(TOY)
PREDICTIONS = predictions_schema(TOY)

# Dagster calls single-run backfills a beta feature; see ml_assets/core/assets.py.
pytestmark = pytest.mark.filterwarnings("ignore:Parameter .backfill_policy.")

DAYS = [NOON.date(), NOON.date() + timedelta(days=1)]


@pytest.fixture
def toy(settings: Settings) -> Toy:
    """Eight purchases of shop `corner` on two days, answered by version 1."""
    toy = Toy(settings=settings)
    toy.deploy(1)
    with serving(toy) as api:
        for n in range(8):
            toy.clock.set(NOON + timedelta(hours=6 * n))
            api.post("/v1/toy/predict", json=asked(f"e{n}", amount=float(n)))
    return toy


def materialise(
    settings: Settings, assets: Sequence[Any], name: str, days: Sequence[date]
) -> dg.ExecuteInProcessResult:
    tags = {"dagster/asset_partition_range_start": days[0].isoformat(),
            "dagster/asset_partition_range_end": days[-1].isoformat()}
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            assets, selection=[key(TOY, name)], resources={
                "settings": settings, "duckdb": lake_resource(settings, [TOY])}, tags=tags,
            instance=instance, raise_on_error=False,
        )


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    assert result.success
    [event] = result.get_asset_materialization_events()[-1:]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_what_was_served_lies_in_the_lake_by_the_day_of_the_answer(toy: Toy) -> None:
    result = materialise(toy.settings, serving_assets.build(TOY), "predictions", DAYS)
    lake = Lake(toy.settings.lake)
    by_day = [lake.read("toy", "predictions", PREDICTIONS, start=day, end=day + timedelta(days=1))
              for day in DAYS]
    assert [list(rows["event_id"]) for rows in by_day] == [
        ["e0", "e1"], ["e2", "e3", "e4", "e5"],
    ]
    assert by_day[0]["features"].iloc[1].tolist() == [1.0, 3.0]
    shown = metadata(result)
    assert (shown["dagster/row_count"], shown["degraded"], shown["model_versions"]) == (6, 0, [1])
    assert result.get_asset_check_evaluations()[0].passed


class FakeOffline:
    """The store's history: the same feature for each shop at all times."""

    names, columns = ("returns_7d",), ("shop",)

    def __init__(self, settings: Settings, system: System) -> None: ...

    def read(
        self, keys: pd.DataFrame, at: pd.Series[pd.Timestamp], *,
        accepted_at: pd.Series[pd.Timestamp],
    ) -> npt.NDArray[np.float32]:
        assert len(keys) == len(at) == len(accepted_at)
        return np.array([[3.0 if shop == "corner" else np.nan] for shop in keys["shop"]],
                        np.float32).reshape(len(keys), 1)


@pytest.fixture
def ingested(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setattr(daily, "OfflineFeatures", FakeOffline)
    monkeypatch.setattr(Backends, "of", lambda settings: toy.backends())
    log, lake = EventLog(toy.settings.event_log), Lake(toy.settings.lake)
    accepted = list(log.predictions("toy", NOON, NOON + timedelta(days=3)))
    for day in DAYS:
        today = [p for p in accepted if p.accepted_at.date() == day]
        events = parse_raw(TOY, raw_from_log(today)).events
        lake.write("toy", "events", day, events, events_schema(TOY))
    return toy


def test_a_batch_is_scored_by_the_deployed_model_and_agrees_with_the_api(ingested: Toy) -> None:
    built = serving_assets.build(TOY)
    result = materialise(ingested.settings, built, "batch_predictions", DAYS)
    shown = metadata(result)
    assert (shown["dagster/row_count"], shown["compared_with_served"]) == (6, 6)
    assert result.get_asset_check_evaluations()[0].passed
    ingested.deploy(2)
    result = materialise(ingested.settings, built, "batch_predictions", DAYS[:1])
    assert (metadata(result)["model_version"], metadata(result)["compared_with_served"]) == (2, 0)
    stored = Lake(ingested.settings.lake).read("toy", "batch_predictions", BATCH_PREDICTIONS)
    assert list(stored["model_version"]) == [2, 2, 1, 1, 1, 1]


def test_a_model_that_scores_otherwise_than_it_did_fails_the_check(ingested: Toy) -> None:
    ingested.models[1] = FakeScorer(bias=0.5)
    result = materialise(ingested.settings, serving_assets.build(TOY), "batch_predictions", DAYS)
    [check] = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.metadata["differing"].value == 6


def test_without_a_deployment_a_batch_says_what_to_do(settings: Settings) -> None:
    result = materialise(settings, serving_assets.build(TOY), "batch_predictions", DAYS)
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "materialise toy/deployment first" in str(failure.step_failure_data.error)


def test_outcomes_join_labels_of_the_day_with_predictions_of_earlier_days(toy: Toy) -> None:
    lake = Lake(toy.settings.lake)
    materialise(toy.settings, serving_assets.build(TOY), "predictions", DAYS)
    said = [("e1", NOON + timedelta(hours=6), NOON + timedelta(hours=30), True, "feedback"),
            ("old", NOON, NOON + timedelta(hours=31), True, "archive")]
    lake.write("toy", "labels", DAYS[0], pd.DataFrame([], columns=LABELS.names), LABELS)
    lake.write("toy", "labels", DAYS[1], pd.DataFrame(said, columns=LABELS.names), LABELS)
    result = materialise(toy.settings, feedback.build(TOY), "outcomes", DAYS)
    outcomes = lake.read("toy", "outcomes", OUTCOMES)
    assert outcomes[["event_id", "label", "decision"]].to_numpy().tolist() == [["e1", True, True]]
    assert lake.days("toy", "outcomes") == DAYS
    shown = metadata(result)
    assert (shown["feedback"], shown["silence"], shown["right_so_far"]) == (1, 0, 1.0)
    assert result.get_asset_check_evaluations()[0].passed


def test_a_label_without_its_prediction_is_reported(toy: Toy) -> None:
    lake = Lake(toy.settings.lake)
    said = [("e1", NOON, NOON + timedelta(hours=3), True, "feedback")]
    lake.write("toy", "labels", DAYS[0], pd.DataFrame(said, columns=LABELS.names), LABELS)
    result = materialise(toy.settings, feedback.build(TOY), "outcomes", DAYS[:1])
    assert not result.success
    [check] = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.metadata["without_prediction"].value == 1
