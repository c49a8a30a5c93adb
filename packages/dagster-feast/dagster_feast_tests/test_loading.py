"""Loading the online store through Dagster, with Feast's own stores and reading back."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_feast import (
    FeastDeclarationError,
    FeastManifest,
    FeastRepoError,
    FeastResource,
    Load,
    Loaded,
    build_feast_external_specs,
    feast_assets,
    load_manifest,
    load_view,
)
from dagster_feast_tests.kit import TWO_VIEWS, instant, table, write_repo

pytestmark = pytest.mark.slow
NOW = instant("2026-01-04T12:00")
DAILY = dg.DailyPartitionsDefinition("2026-01-01")
RATES = table("rate", (1, "2026-01-01T09:00", 0.1), (2, "2026-01-01T10:00", 0.2),
              (1, "2026-01-02T00:00", 0.3), (1, "2026-01-03T09:00", 0.4))
TRIPS = table("trips", (1, "2026-01-02T09:00", 5.0))


class Feast(FeastResource):
    """Lives at `NOW`."""

    at: str = NOW.isoformat()

    def now(self) -> datetime:
        return datetime.fromisoformat(self.at)


@pytest.fixture(scope="session")
def applied(
    tmp_path_factory: pytest.TempPathFactory, cache: Path
) -> tuple[Path, FeastManifest]:
    """A repository of two views, applied."""
    repo = write_repo(tmp_path_factory.mktemp("applied"), TWO_VIEWS.replace("{ROOT}", ""),
                      a_rates=RATES, b_trips=TRIPS)
    manifest = load_manifest(repo, cache=cache)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "user"))
        assert Feast(repo_path=str(repo)).apply(manifest)
    return repo, manifest


@pytest.fixture
def repo(applied: tuple[Path, FeastManifest], tmp_path: Path) -> Path:
    """A copy with rows and stores of its own."""
    return shutil.copytree(applied[0], tmp_path / "repo")


@pytest.fixture
def manifest(applied: tuple[Path, FeastManifest]) -> FeastManifest:
    return applied[1]


def run(
    repo: Path, manifest: FeastManifest, *names: str, days: tuple[str, str] | None = None,
    at: datetime = NOW, load: Load = load_view, instance: dg.DagsterInstance | None = None,
) -> dg.ExecuteInProcessResult:
    """Materialise the views called `names`, or all, on `days` (the first and the last)."""

    @feast_assets(manifest=manifest, partitions_def=DAILY if days else None)
    def views(
        context: dg.AssetExecutionContext, feast: dg.ResourceParam[FeastResource]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        yield from feast.materialize(context, load=load)

    keys = [["drivers", name] for name in names or manifest.views]
    tags = {} if days is None else {
        "dagster/asset_partition_range_start": days[0],
        "dagster/asset_partition_range_end": days[1],
    }
    return dg.materialize(
        [views, *build_feast_external_specs(manifest)], tags=tags, raise_on_error=False,
        selection=dg.AssetSelection.assets(*map(dg.AssetKey, keys)), instance=instance,
        resources={"feast": Feast(repo_path=str(repo), at=at.isoformat())},
    )


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """What was said of each view that was materialised."""
    events = [event.step_materialization_data.materialization
              for event in result.get_asset_materialization_events()]
    return {
        each.asset_key.path[-1]: {label: value.value for label, value in each.metadata.items()}
        for each in events if each.asset_key is not None
    }


def online(repo: Path, driver: int = 1) -> dict[str, float | None]:
    """What a model would read of a driver, from Feast itself."""
    store = Feast(repo_path=str(repo)).get_store()
    found = store.get_online_features(
        features=store.get_feature_service("ranking"), entity_rows=[{"driver_id": driver}]
    ).to_dict()
    return {name: found[name][0] for name in ("rate", "trips")}


def test_a_backfill_of_days_is_read_back_from_the_online_store(
    repo: Path, manifest: FeastManifest
) -> None:
    result = run(repo, manifest, days=("2026-01-01", "2026-01-02"))
    assert result.success
    assert online(repo) == {"rate": 0.3, "trips": 5.0}
    assert online(repo, driver=2) == {"rate": 0.2, "trips": None}
    said = metadata(result)
    assert {view: said[view]["dagster/row_count"] for view in said} == {"a_rates": 2, "b_trips": 1}
    assert said["a_rates"]["until"] == instant("2026-01-03").timestamp()
    assert said["a_rates"]["hours_behind"] == 36
    assert said["a_rates"]["newest_row"] == instant("2026-01-02").timestamp()
    assert said["a_rates"]["seconds"] > 0


def test_a_day_is_loaded_without_the_first_instant_of_the_next(
    repo: Path, manifest: FeastManifest
) -> None:
    run(repo, manifest, "a_rates", days=("2026-01-01", "2026-01-01"))
    assert online(repo) == {"rate": 0.1, "trips": None}


def test_a_day_loaded_late_does_not_bring_old_values_back(
    repo: Path, manifest: FeastManifest
) -> None:
    for day in ("2026-01-03", "2026-01-01"):
        result = run(repo, manifest, "a_rates", days=(day, day))
    assert online(repo) == {"rate": 0.4, "trips": None}
    assert online(repo, driver=2)["rate"] == 0.2
    assert metadata(result)["a_rates"]["until"] == instant("2026-01-04").timestamp()


def test_a_day_that_has_not_ended_is_loaded_up_to_now(
    repo: Path, manifest: FeastManifest
) -> None:
    at = instant("2026-01-03T08:00")
    result = run(repo, manifest, "a_rates", days=("2026-01-03", "2026-01-03"), at=at)
    assert result.success
    assert metadata(result)["a_rates"]["until"] == at.timestamp()
    assert online(repo)["rate"] is None


def test_without_partitions_a_load_goes_on_from_the_last(
    repo: Path, manifest: FeastManifest
) -> None:
    first = run(repo, manifest, at=instant("2026-01-02T12:00"))
    assert online(repo) == {"rate": 0.3, "trips": 5.0}
    second = run(repo, manifest)
    assert online(repo) == {"rate": 0.4, "trips": 5.0}
    assert metadata(first)["b_trips"]["dagster/row_count"] == 1
    assert metadata(second)["b_trips"]["dagster/row_count"] == 0
    assert metadata(second)["a_rates"]["until"] == NOW.timestamp()


def test_a_view_that_fails_leaves_the_others_done(repo: Path, manifest: FeastManifest) -> None:
    def broken(store: Any, view: str, start: datetime | None, end: datetime) -> Loaded:
        if view == "a_rates":
            raise OSError("the table of rates is gone")
        return load_view(store, view, start, end)

    result = run(repo, manifest, days=("2026-01-01", "2026-01-03"), load=broken)
    assert not result.success
    assert set(metadata(result)) == {"b_trips"}
    assert online(repo) == {"rate": None, "trips": 5.0}
    (failure,) = result.get_step_failure_events()
    data = failure.step_failure_data
    assert data.user_failure_data is not None
    assert data.user_failure_data.description == (
        "Feast could not load a_rates (OSError: the table of rates is gone)")
    assert set(data.user_failure_data.metadata) == {"a_rates"}


def test_a_failure_is_told_in_feast_s_words(repo: Path, manifest: FeastManifest) -> None:
    (repo / "data" / "a_rates.parquet").write_bytes(b"no table")
    result = run(repo, manifest, days=("2026-01-01", "2026-01-03"))
    assert set(metadata(result)) == {"b_trips"}
    (failure,) = result.get_step_failure_events()
    assert failure.step_failure_data.user_failure_data is not None
    assert "Parquet magic bytes" in str(failure.step_failure_data.user_failure_data.description)


@pytest.mark.filterwarnings("ignore:fetch_arrow_table.*is deprecated")  # ibis, with DuckDB 2
def test_feast_s_duckdb_store_loads_the_same(tmp_path: Path, cache: Path) -> None:
    # It reads relative paths from the working directory.
    definitions = TWO_VIEWS.replace("{ROOT}", f"{tmp_path}/")
    repo = write_repo(tmp_path, definitions, offline="duckdb", a_rates=RATES, b_trips=TRIPS)
    manifest = load_manifest(repo, cache=cache)
    Feast(repo_path=str(repo)).apply(manifest)
    result = run(repo, manifest, days=("2026-01-01", "2026-01-02"))
    assert metadata(result)["a_rates"]["dagster/row_count"] == 2
    assert online(repo) == {"rate": 0.3, "trips": 5.0}


def test_a_subset_of_the_views_is_loaded_alone(repo: Path, manifest: FeastManifest) -> None:
    assert set(metadata(run(repo, manifest, "b_trips"))) == {"b_trips"}
    assert online(repo) == {"rate": None, "trips": 5.0}


def test_another_way_to_load_gets_the_window_and_says_what_it_did(
    repo: Path, manifest: FeastManifest
) -> None:
    asked = []

    def load(store: Any, view: str, start: datetime | None, end: datetime) -> int | None:
        asked.append((store.project, view, start, end))
        return 7 if view == "a_rates" else None

    result = run(repo, manifest, days=("2026-01-01", "2026-01-02"), load=load)
    window = (instant("2026-01-01"), instant("2026-01-03"))
    assert asked == [("drivers", "a_rates", *window), ("drivers", "b_trips", *window)]
    assert metadata(result)["a_rates"]["dagster/row_count"] == 7
    assert "dagster/row_count" not in metadata(result)["b_trips"]


def test_a_load_that_lies_too_far_behind_fails_its_check(
    repo: Path, manifest: FeastManifest
) -> None:
    (fresh,) = run(repo, manifest, days=("2026-01-01", "2026-01-03")).get_asset_check_evaluations()
    assert fresh.passed
    later = NOW + timedelta(days=4000)
    (stale,) = run(
        repo, manifest, days=("2026-01-01", "2026-01-03"), at=later
    ).get_asset_check_evaluations()
    assert (stale.passed, stale.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert stale.asset_key.path[-1] == "a_rates"


def test_a_repository_is_applied_once_until_it_changes(
    repo: Path, manifest: FeastManifest, cache: Path
) -> None:
    feast = Feast(repo_path=str(repo))
    assert not feast.apply(manifest)
    with (repo / "definitions.py").open("a") as file:
        file.write("\nlate = FeatureService(name='late', features=[a_rates])\n")
    changed = load_manifest(repo, cache=cache)
    with ThreadPoolExecutor(2) as at_once:
        assert sorted(at_once.map(feast.apply, [changed, changed])) == [False, True]
    assert feast.get_store().get_feature_service("late").name == "late"


def test_a_repository_that_feast_refuses_is_reported_in_its_words(
    repo: Path, manifest: FeastManifest, cache: Path
) -> None:
    with (repo / "definitions.py").open("a") as file:
        file.write("\nagain = view('A_RATES', 'rate', timedelta(0))\n")
    with pytest.raises(FeastRepoError, match=r"cannot apply.*(?s:.*)A_RATES"):
        Feast(repo_path=str(repo)).apply(load_manifest(repo, cache=cache))


def test_partitions_that_are_no_windows_of_time_are_refused(manifest: FeastManifest) -> None:
    with pytest.raises(FeastDeclarationError, match="found StaticPartitionsDefinition"):
        feast_assets(manifest=manifest, partitions_def=dg.StaticPartitionsDefinition(["a"]))


def test_a_selection_without_a_loadable_view_is_refused(manifest: FeastManifest) -> None:
    with pytest.raises(FeastDeclarationError, match=r"can be loaded.*selected are ranking"):
        feast_assets(manifest=manifest, select="ranking")
