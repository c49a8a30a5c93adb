"""The room's door to Dagster: what each day stores, shows and warns of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from ml_assets.core.assets import key, keys
from ml_assets.core.model import Categories
from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent, Event, Request
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.features.manifest import load_manifest
from ml_assets.features.offline import OfflineFeatures
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import last_position, note_load
from ml_assets.ingest.log.served import to_us
from ml_assets.ingest.resources import lake_resource
from ml_assets.ingest.tables import (
    events_schema,
    outcomes_schema,
    predictions_schema,
    raw_schema,
)
from ml_assets.monitoring.assets import build
from ml_assets.monitoring.drift.columns import SCORE
from ml_assets.monitoring.drift.reference import Reference, References, Values
from ml_assets.monitoring.drift.together import TOGETHER
from ml_assets.monitoring.drift_report import DriftReports
from ml_assets.monitoring.parity import ParityReports
from ml_assets.monitoring.performance import PerformanceReports
from ml_assets.registry.deployments import Deployments
from ml_assets.systems import SYSTEMS
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days, record
from tests.toy import TOY, with_stream

OUTCOMES = outcomes_schema(TOY)
PREDICTIONS = predictions_schema(TOY)
RAW = raw_schema(TOY)

LIVE = TOY.calendar.go_live
WHOLE = LIVE + timedelta(days=6)
"""The first day whose drift window has been live throughout."""
NAMES = ("amount", "shop_events")


def materialise(
    settings: Settings, name: str, first: date, last: date | None = None, system: System = TOY
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        build(system), selection=dg.AssetSelection.assets(*keys(system, name)),
        resources={"settings": settings, "duckdb": lake_resource(settings, [system])},
        raise_on_error=False,
        tags={"dagster/asset_partition_range_start": first.isoformat(),
              "dagster/asset_partition_range_end": (last or first).isoformat()},
    )


def metadata(result: dg.ExecuteInProcessResult, name: str, system: System = TOY) -> dict[str, Any]:
    found = result.asset_materializations_for_node(f"{system.name}__{name}")[-1]
    return {label: value.value for label, value in found.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def deploy(settings: Settings, version: int, at: datetime) -> None:
    Deployments(settings.deployments).promote("toy", version, reason="test", by="test", at=at)


def serve(settings: Settings, day: date, *, shift: float, count: int = 60) -> None:
    """A day's predictions of version 1; amounts are normal around `shift`."""
    random = np.random.default_rng(day.toordinal())
    at = pd.to_datetime([midnight(day) + timedelta(minutes=n) for n in range(count)], utc=True)
    dense = np.column_stack([random.normal(shift, size=count), random.poisson(2, size=count)])
    scores = random.random(count)
    rows = pd.DataFrame({
        "prediction_id": [f"{day}p{n}" for n in range(count)],
        "event_id": [f"{day}e{n}" for n in range(count)],
        "event_timestamp": at, "accepted_at": at, "features_as_of": at.floor("D"),
        "features": list(dense.astype(np.float32)), "feature_names": [list(NAMES)] * count,
        "model_version": 1, "score": scores, "decision": scores >= 0.5, "degraded": False,
        "role": "champion", "propensity": 1.0, "state_seq": 0, "outputs": None, "audit": None,
    })
    Lake(settings.lake).write("toy", "predictions", day, rows, PREDICTIONS)


def keep_reference(settings: Settings) -> None:
    random = np.random.default_rng(0)
    dense = np.column_stack([random.normal(size=800), random.poisson(2, size=800)])
    References(settings, TOY).keep(1, Reference(
        training_set="set1", names=NAMES, dense=dense.astype(np.float32),
        scores=random.random(120)))


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_asset_says_what_a_row_is_and_where_it_comes_from(system: System) -> None:
    resources = {"settings": Settings(), "duckdb": lake_resource(Settings(), [system])}
    graph = dg.Definitions(build(system), resources=resources).resolve_asset_graph()
    parents = {}
    for name in ("drift", "performance", "parity"):
        node = graph.get(key(system, name))
        assert "One report for each day" in str(node.description)
        assert "Source:" in str(node.description)
        assert node.group_name == f"{system.name}_monitoring"
        assert node.code_version
        parents[name] = {each.path[-1] for each in node.parent_keys}
    events = {"events"} if system.model.categories else set()
    assert parents == {
        "drift": {"predictions", "deployment", *events},
        "performance": {"outcomes", "deployment"},
        "parity": {"predictions", "raw", "events", "labels", system.feature_service},
    }


def test_a_planted_shift_warns_on_the_day_that_confirms_it(settings: Settings) -> None:
    keep_reference(settings)
    deploy(settings, 1, TOY.calendar.live_from)
    for number in range(6):
        serve(settings, WHOLE + timedelta(days=number), shift=0 if number < 2 else 5)
    warned = []
    for number in range(6):
        result = materialise(settings, "drift", WHOLE + timedelta(days=number))
        assert result.success
        warned.append(not checks(result)["no_confirmed_drift"])
    # The shift shows from its first day on, for the window is young.
    assert warned == [False] * 4 + [True] * 2
    said = metadata(result, "drift")
    assert said["dagster/row_count"] == 360
    assert (said["drifted"], said["confirmed"]) == (2, 2)
    assert said["largest_index"] > TOY.drift.effect
    assert 0 <= said["score_index"] < TOY.drift.effect
    assert said["plot"].startswith("[![drift on ") and len(said["plot"]) < 1000
    assert all(path.stat().st_size < 50_000 for path in settings.plots.rglob("*.png"))
    latest = DriftReports(settings, TOY).latest()
    assert latest is not None
    assert set(latest.confirmed) == {"amount", TOGETHER}
    assert [column.name for column in latest.columns] == [*NAMES, SCORE, TOGETHER]


def test_a_category_of_events_that_changes_is_confirmed_and_drawn(settings: Settings) -> None:
    """The events are found by id and instant: recorded history may have the same ids."""
    system = replace(TOY, model=replace(
        TOY.model, inputs=(*TOY.model.inputs, Categories("shop"))))
    random = np.random.default_rng(0)
    References(settings, system).keep(1, Reference(
        training_set="set1", names=NAMES, scores=np.empty(0),
        dense=np.column_stack([random.normal(size=800), random.poisson(2, size=800)]
                              ).astype(np.float32),
        categories={"shop": Values(texts=("", "corner", "mall"), places=np.repeat(
            np.arange(3, dtype=np.int32), [10, 500, 290]))}))
    deploy(settings, 1, TOY.calendar.live_from)
    lake, schema = Lake(settings.lake), events_schema(system)
    for number, shops in enumerate([("corner", "mall")] * 3 + [("station",) * 2] * 3):
        day = WHOLE + timedelta(days=number)
        serve(settings, day, shift=0)
        served = lake.read("toy", "predictions", PREDICTIONS, start=day, end=day + DAY)
        rows = served[["event_id", "event_timestamp", "accepted_at"]].assign(
            shop=[shops[n % 3 == 0] for n in range(len(served))], note="", amount=1.0, log_seq=None)
        lake.write("toy", "events", day, rows, schema)
        archived = midnight(TOY.calendar.first_day) + timedelta(hours=number)
        lake.write("toy", "events", archived.date(), rows.assign(
            shop="archived", accepted_at=archived), schema)
    result = materialise(settings, "drift", WHOLE, WHOLE + timedelta(days=5), system)
    assert result.success and not checks(result)["no_confirmed_drift"]
    reports = list(DriftReports(settings, system).between(WHOLE, WHOLE + timedelta(days=6)))
    assert [report.drifted for report in reports] == [()] * 3 + [("shop",)] * 3
    assert reports[-1].confirmed == ("shop",)
    assert metadata(result, "drift")["plot"].startswith("[![drift on ")


def test_one_run_over_many_days_gives_the_reports_of_single_days(settings: Settings) -> None:
    keep_reference(settings)
    deploy(settings, 1, TOY.calendar.live_from)
    days = [LIVE + timedelta(days=number) for number in range(4)]
    for day in days:
        serve(settings, day, shift=5)
    reports = DriftReports(settings, TOY)
    for day in days:
        materialise(settings, "drift", day)
    one_by_one = list(reports.between(days[0], days[-1] + DAY))
    assert materialise(settings, "drift", days[0], days[-1]).success
    assert list(reports.between(days[0], days[-1] + DAY)) == one_by_one


def test_days_without_a_champion_or_with_few_events_say_so(settings: Settings) -> None:
    keep_reference(settings)
    serve(settings, WHOLE, shift=0, count=5)
    result = materialise(settings, "drift", WHOLE)
    assert "no model was deployed" in metadata(result, "drift")["note"]
    deploy(settings, 1, TOY.calendar.live_from)
    result = materialise(settings, "drift", WHOLE)
    assert checks(result) == {"no_confirmed_drift": True}
    assert metadata(result, "drift")["note"] == (
        "5 events in the window, 20 needed: this day does not count")


def test_performance_judges_mature_outcomes_and_draws_the_days(settings: Settings) -> None:
    lake, random = Lake(settings.lake), np.random.default_rng(1)
    days = [LIVE + timedelta(days=number) for number in range(5)]
    for day in days:
        at = pd.to_datetime([midnight(day) - TOY.truth.maturity + timedelta(minutes=n)
                             for n in range(40)], utc=True)
        labels, scores = random.random(40) < 0.4, random.random(40)
        rows = pd.DataFrame({
            "prediction_id": [f"{day}p{n}" for n in range(40)],
            "event_id": [f"{day}e{n}" for n in range(40)], "event_timestamp": at,
            "known_at": at + TOY.truth.maturity, "label": labels, "basis": "silence",
            "model_version": 1, "score": scores, "decision": scores >= 0.5,
            "role": "champion", "propensity": 1.0, "outputs": None,
        })
        lake.write("toy", "outcomes", day, rows, OUTCOMES)
    result = materialise(settings, "performance", days[0], days[-1])
    assert result.success
    assert checks(result) == {"live_quality_holds": True}
    said = metadata(result, "performance")
    assert said["dagster/row_count"] == 200
    assert 0.3 < said["error_rate_7d"] < 0.7
    assert said["plot"].startswith("[![live quality ")
    assert len(PerformanceReports(settings, TOY).days()) == 5


@dataclass(frozen=True, kw_only=True)
class Echo:
    """A request is the event."""

    def fetch(self, cache: Path) -> Path:
        return cache

    def archive(self, fetched: Path) -> Iterator[ArchivedEvent]:
        return iter(())

    def parse(self, request: Request) -> Event:
        return request


def load_of_all(settings: Settings, system: System, until: date) -> int:
    """Positions for all that the lake has of the days before; the last of them."""
    log = EventLog(settings.event_log)
    end = to_us(midnight(until))
    for view in load_manifest(settings).service(system).views:
        # The labels of the day too.
        note_load(log.connection, view.name, view.definition, 0,
                  end if view.table == "events" else end + 10**12)
    position = last_position(log.connection)
    log.close()
    return position


@pytest.mark.slow
def test_parity_holds_for_what_history_gives_and_stops_at_one_changed_bit(
    settings: Settings,
) -> None:
    system = with_stream(SPAM, source=Echo())
    days = first_days(system, 4)
    service = load_manifest(settings).service(system)
    record(settings, system, days)
    lake, schema = Lake(settings.lake), events_schema(system)
    day = days[-1]
    loaded = load_of_all(settings, system, day)
    events = lake.read(system.name, "events", schema, start=day, end=day + DAY).sort_values(
        "accepted_at", ignore_index=True)
    lake.write(system.name, "events", day,
               events.assign(log_seq=loaded + 1 + np.arange(len(events))), schema)
    remembered = OfflineFeatures(settings, system).read(
        events, events["event_timestamp"], accepted_at=events["accepted_at"])
    numbers = events[list(system.model.numbers)].to_numpy(np.float32)
    vectors = np.concatenate([numbers, remembered], axis=1)
    requests = events.drop(columns=["event_timestamp", "accepted_at"]).to_dict("records")
    raw = events[["event_id", "event_timestamp"]].assign(
        accepted_at=events["event_timestamp"], outcome=None, outcome_known_at=None, log_seq=None,
        problem=None, request=[json.dumps(request) for request in requests])
    lake.write(system.name, "raw", day, raw[RAW.names], RAW)
    served = events[["event_id", "event_timestamp"]].assign(
        prediction_id=events["event_id"], accepted_at=events["event_timestamp"],
        features_as_of=events["event_timestamp"], features=list(vectors),
        feature_names=pd.Series([[*system.model.numbers, *service.features]] * len(events)),
        model_version=1, score=0.5, decision=True, degraded=False, role="champion",
        propensity=1.0, state_seq=loaded + np.arange(len(events)), outputs=None, audit=None)
    lake.write(system.name, "predictions", day, served[PREDICTIONS.names], PREDICTIONS)
    result = materialise(settings, "parity", day, system=system)
    assert checks(result) == {"parity_holds": True}
    assert metadata(result, "parity", system)["dagster/row_count"] == len(events)

    vectors[0, -1] = np.nan_to_num(vectors[0, -1]) + np.float32(1)
    served["features"] = list(vectors)
    lake.write(system.name, "predictions", day, served[PREDICTIONS.names], PREDICTIONS)
    result = materialise(settings, "parity", day, system=system)
    assert checks(result) == {"parity_holds": False}
    latest = ParityReports(settings, system).latest()
    assert latest is not None
    assert (latest.unexplained, latest.worst[0].prediction_id) == (1, str(events["event_id"][0]))
