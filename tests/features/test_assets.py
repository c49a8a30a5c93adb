"""The room's door to Dagster: partitions, checks, what a newcomer sees."""

from __future__ import annotations

from datetime import date
from typing import Any

import dagster as dg
import pytest

from ml_assets.core.assets import key, keys
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, EventClock, midnight
from ml_assets.features.assets import build
from ml_assets.features.loads import watermark
from ml_assets.features.manifest import load_manifest
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import labels_schema
from ml_assets.systems import SYSTEMS
from ml_assets.systems.spam import SPAM
from tests.features.recorded import first_days, record

DAYS = first_days(SPAM, 8)
VIEWS = [view.name.removeprefix("spam_") for view in load_manifest(Settings()).service(SPAM).views]


def materialise(
    settings: Settings, names: list[str], first: date | None = None, last: date | None = None
) -> dg.ExecuteInProcessResult:
    tags = {} if first is None else {
        "dagster/asset_partition_range_start": first.isoformat(),
        "dagster/asset_partition_range_end": (last or first).isoformat(),
    }
    return dg.materialize(
        build(SPAM), selection=dg.AssetSelection.assets(*keys(SPAM, *names)),
        resources={"settings": settings}, tags=tags, raise_on_error=True,
    )


def graph_of(system: System) -> Any:
    """Dagster's asset graph of the room (its type is not public)."""
    resources = {"settings": Settings()}
    return dg.Definitions(build(system), resources=resources).resolve_asset_graph()


def metadata(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    (found,) = [
        each.materialization for each in result.get_asset_materialization_events()
        if (each.asset_key and each.asset_key.path[-1] == name)
    ][-1:]
    return {label: value.value for label, value in found.metadata.items()}


def failed(result: dg.ExecuteInProcessResult) -> set[str]:
    return {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_feature_asset_says_what_a_row_is_and_where_it_comes_from(system: System) -> None:
    graph = graph_of(system)
    for asset_key in graph.materializable_asset_keys:
        node = graph.get(asset_key)
        assert node.description, asset_key
        assert node.group_name == f"{system.name}_features"
        assert node.owners == list(system.owners)
        assert node.code_version, asset_key


def test_the_flow_reads_from_events_to_training_set() -> None:
    graph = graph_of(SPAM)
    parents = {name: {each.path[-1] for each in graph.get(key(SPAM, name)).parent_keys}
               for name in ("sender_mail", "sender_verdicts", "spam_filter", "training_set")}
    assert parents == {
        "sender_mail": {"events"},
        "sender_verdicts": {"labels"},
        "spam_filter": set(VIEWS),
        "training_set": {"spam_filter", "events", "labels"},
    }


@pytest.mark.slow
def test_a_backfill_then_days_one_by_one_then_a_training_set(settings: Settings) -> None:
    record(settings, SPAM, DAYS)
    materialise(settings, VIEWS, DAYS[0], DAYS[4])
    for day in DAYS[5:]:
        EventClock(settings.clock_file("spam")).set(midnight(day) + DAY)
        result = materialise(settings, VIEWS, day)
    said = metadata(result, "sender_mail")
    assert said["hours_behind"] == 0
    assert said["dagster/row_count"] > 0
    views = load_manifest(settings).service(SPAM).views
    assert watermark(settings, views) == midnight(DAYS[-1]) + DAY
    assert metadata(materialise(settings, VIEWS, DAYS[2]), "sender_mail")["dagster/row_count"] == 0

    result = materialise(settings, ["training_set"])
    assert not failed(result)
    said = metadata(result, "training_set")
    assert said["dagster/row_count"] > 0
    assert said["events_lacking"] == 0


@pytest.mark.slow
def test_a_lake_that_was_rewritten_shows_in_the_next_training_set(settings: Settings) -> None:
    record(settings, SPAM, DAYS)
    EventClock(settings.clock_file("spam")).set(midnight(DAYS[-1]))
    materialise(settings, ["training_set"])
    assert "the_one_before_is_reproducible" not in failed(materialise(settings, ["training_set"]))
    before = TrainingSets(settings, SPAM).latest_version()
    record(settings, SPAM, DAYS, seed=2)
    result = materialise(settings, ["training_set"])
    assert "the_one_before_is_reproducible" in failed(result)
    assert TrainingSets(settings, SPAM).latest_version() != before


@pytest.mark.slow
def test_a_training_set_of_one_class_stops_the_flow(settings: Settings) -> None:
    record(settings, SPAM, DAYS)
    lake, schema = Lake(settings.lake), labels_schema(SPAM)
    for day in DAYS:
        known = lake.read("spam", "labels", schema, start=day, end=day + DAY)
        lake.write("spam", "labels", day, known.assign(label=False), schema)
    with pytest.raises(Exception, match="labels_vary"):
        materialise(settings, ["training_set"])
