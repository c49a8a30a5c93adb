"""What the resource makes of a run, with a load of our own instead of Feast's."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from dagster_feast import (
    DagsterFeastTranslator,
    FeastManifest,
    FeastResource,
    Load,
    Loaded,
    Node,
    feast_assets,
)
from dagster_feast_tests.kit import instant

NOW = instant("2026-01-04T12:00")
DAILY = dg.DailyPartitionsDefinition("2026-01-01", timezone="Europe/Berlin", end_offset=5)
TWO = "driver_trips driver_summary"


class NoFeast(FeastResource):
    """Opens no store."""

    def get_store(self) -> Any:
        return "the store"

    def now(self) -> datetime:
        return NOW


class Rows(DagsterFeastTranslator):
    """Has a blocking check of its own instead of `is_fresh`."""

    def get_check_specs(self, node: Node) -> Sequence[dg.AssetCheckSpec]:
        return [dg.AssetCheckSpec("has_rows", asset=self.get_asset_key(node), blocking=True)]


def run(
    manifest: FeastManifest, load: Load, *, select: str = TWO, partition: str | None = None,
    translator: DagsterFeastTranslator | None = None,
) -> dg.ExecuteInProcessResult:
    @feast_assets(manifest=manifest, select=select, translator=translator, name="loads",
                  partitions_def=DAILY if partition else None)
    def views(
        context: dg.AssetExecutionContext, feast: dg.ResourceParam[FeastResource]
    ) -> Iterator[Any]:
        for result in feast.materialize(context, load=load):
            yield result
            if translator is not None:
                loaded = (result.metadata or {})["dagster/row_count"]
                yield dg.AssetCheckResult(
                    asset_key=result.asset_key, check_name="has_rows", passed=loaded != 0,
                )

    return dg.materialize([views], resources={"feast": NoFeast(repo_path="nowhere")},
                          partition_key=partition, raise_on_error=False)


def test_what_reads_a_failed_view_is_not_tried(manifest: FeastManifest) -> None:
    tried = []

    def load(store: Any, view: str, start: datetime | None, end: datetime) -> None:
        tried.append(view)
        raise ValueError("no trips")

    (failure,) = run(manifest, load).get_step_failure_events()
    assert tried == ["driver_trips"]
    assert failure.step_failure_data.user_failure_data is not None
    assert failure.step_failure_data.user_failure_data.description == (
        "Feast could not load driver_trips (ValueError: no trips); driver_summary "
        "(not tried, because it reads drivers/driver_trips)"
    )


def test_a_partition_is_loaded_in_its_own_time_zone_and_up_to_now(
    manifest: FeastManifest,
) -> None:
    asked = []

    def load(store: Any, view: str, start: datetime | None, end: datetime) -> None:
        asked.append((start, end))

    for day in ("2026-01-02", "2026-01-04"):
        assert run(manifest, load, select="driver_trips", partition=day).success
    assert asked == [(instant("2026-01-01T23:00"), instant("2026-01-02T23:00")),
                     (instant("2026-01-03T23:00"), NOW)]


def test_without_partitions_there_is_no_start(manifest: FeastManifest) -> None:
    asked = []

    def load(store: Any, view: str, start: datetime | None, end: datetime) -> None:
        asked.append((store, view, start, end))

    assert run(manifest, load, select="driver_trips").success
    assert asked == [("the store", "driver_trips", None, NOW)]


def test_how_far_a_view_is_loaded_is_for_the_load_to_say(manifest: FeastManifest) -> None:
    def load(store: Any, view: str, start: datetime | None, end: datetime) -> Loaded:
        return Loaded(rows=3, until=instant("2026-01-03T12:00"))

    result = run(manifest, load, select="driver_stats")
    (said,) = result.asset_materializations_for_node("loads")
    assert said.metadata["hours_behind"].value == 24
    assert said.metadata["dagster/row_count"].value == 3
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("is_fresh", True)


def test_checks_of_one_s_own_are_reported_beside_the_load(manifest: FeastManifest) -> None:
    def load(store: Any, view: str, start: datetime | None, end: datetime) -> int:
        return 5 if view == "driver_trips" else 0

    result = run(manifest, load, translator=Rows())
    found = {check.asset_key.path[-1]: check.passed
             for check in result.get_asset_check_evaluations()}
    assert found == {"driver_trips": True, "driver_summary": False}


def test_what_is_wrong_with_a_load_is_in_its_metadata(manifest: FeastManifest) -> None:
    def load(store: Any, view: str, start: datetime | None, end: datetime) -> Loaded:
        return Loaded(warning="counts too little" if view == "driver_trips" else "")

    done = [each.step_materialization_data.materialization
            for each in run(manifest, load).get_asset_materialization_events()]
    said = {each.asset_key.path[-1]: each.metadata for each in done}
    assert said["driver_trips"]["warning"].value == "counts too little"
    assert "warning" not in said["driver_summary"]
