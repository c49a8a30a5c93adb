"""Dagster's storages as ours keep them open: the same rows, whatever happens to the files."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.event_log.migration import ASSET_KEY_INDEX_COLS
from dagster._core.storage.event_log.schema import SqlEventLogStorageMetadata
from dagster._core.storage.event_log.sqlite import consolidated_sqlite_event_log as consolidated
from sqlalchemy import text

from ml_assets.automation.dagster_storage import KeptComputeLogs, KeptEventLogStorage
from ml_assets.automation.instance import instance, prepare_home
from ml_assets.core.settings import Settings
from tests.places import cluster_at

DAYS = dg.DailyPartitionsDefinition("2024-01-01", end_date="2024-01-05")
KEY = dg.AssetKey("counted")


@dg.asset(key=KEY, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def counted(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    sys.stdout.write(f"said by {context.asset_key.to_user_string()}\n")
    sys.stderr.write("complained\n")
    return dg.MaterializeResult(metadata={"days": len(context.partition_keys)})


def materialised(opened: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize([counted], instance=opened, tags={
        "dagster/asset_partition_range_start": "2024-01-01",
        "dagster/asset_partition_range_end": "2024-01-04"})


@pytest.fixture
def ours(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name in ("DAGSTER_HOME", "ML_ASSETS_VAR", "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "")  # restored afterwards
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")
    with instance(settings) as opened:
        yield opened


def test_a_batch_of_events_leaves_what_dagster_leaves(ours: dg.DagsterInstance) -> None:
    """The events, and in the asset's own row the latest of them."""
    with dg.DagsterInstance.ephemeral() as plain:
        found = []
        for opened in (ours, plain):
            run_id = materialised(opened).run_id
            [record] = opened.get_asset_records([KEY])
            logged = record.asset_entry.last_materialization
            assert logged is not None and logged.asset_materialization is not None
            assert record.asset_entry.last_run_id == run_id
            latest = logged.asset_materialization
            events = opened.fetch_materializations(KEY, limit=10).records
            assert record.asset_entry.last_materialization_storage_id == events[0].storage_id
            found.append((latest.partition, [each.partition_key for each in events]))
    assert found[0] == found[1]
    assert found[0][0] == "2024-01-04"


def test_files_that_are_made_anew_are_read_and_written(
    ours: dg.DagsterInstance, settings: Settings, tmp_path: Path
) -> None:
    """A connection is kept, but not beyond its file."""
    storage = ours.event_log_storage
    assert isinstance(storage, KeptEventLogStorage)
    with storage._connect() as first:
        kept = first.connection.dbapi_connection
    with storage._connect() as second:
        assert second.connection.dbapi_connection is kept
    materialised(ours)
    home = settings.dagster_home
    shutil.copytree(home, tmp_path / "copy")
    materialised(ours)
    assert len(ours.get_run_records()) == 2
    shutil.rmtree(home)
    shutil.copytree(tmp_path / "copy", home)
    prepare_home(settings)
    assert len(ours.get_run_records()) == 1
    materialised(ours)
    assert len(ours.get_run_records()) == 2
    with storage._connect() as connection:
        [(whole,)] = connection.execute(text("pragma integrity_check"))
    assert whole == "ok"


def test_what_a_run_prints_is_in_its_files_alone(
    ours: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    result = materialised(ours)
    logs = ours.compute_log_manager
    assert isinstance(logs, KeptComputeLogs)
    captured: Any = next(each.event_specific_data for each in result.all_events
                         if each.event_type == dg.DagsterEventType.LOGS_CAPTURED)
    data = logs.get_log_data([result.run_id, "compute_logs", captured.file_key])
    assert data.stdout == b"said by counted\n" and b"complained" in (data.stderr or b"")
    printed, _ = capfd.readouterr()
    assert "said by" not in printed


@pytest.mark.parametrize("before", ["create_all", "stamp_alembic_rev", "reindex_assets"])
def test_a_start_that_dies_while_tables_are_made_leaves_none_of_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """Seen after `kill -9`: each later run ended with "Asset checks require a migration"."""
    def dies(*_: object) -> None:
        raise SystemExit(before)

    settings.dagster_home.mkdir(parents=True)
    place: Any = {
        "create_all": SqlEventLogStorageMetadata,
        "reindex_assets": ConsolidatedSqliteEventLogStorage,
    }.get(before, consolidated)
    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(place, before, dies)
        KeptEventLogStorage(str(settings.dagster_home))
    assert list(settings.dagster_home.iterdir()) == []
    again = KeptEventLogStorage(str(settings.dagster_home))
    assert again.has_table("asset_check_executions") and again.has_table("alembic_version")
    assert again.has_secondary_index(ASSET_KEY_INDEX_COLS)  # type: ignore[no-untyped-call]
    assert not [path for path in settings.dagster_home.iterdir() if path.is_dir()]


def test_the_cluster_keeps_runs_and_materialisations_in_postgresql(
    settings: Settings, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hosts, each with a folder of its own, see the same."""
    for name in ("DAGSTER_HOME", "DAGSTER_POSTGRES_URL", "ML_ASSETS_VAR",
                 "DAGSTER_EVENT_BATCH_SIZE"):
        monkeypatch.setenv(name, "")  # restored afterwards
    monkeypatch.delenv("DAGSTER_EVENT_BATCH_SIZE")
    cluster = cluster_at(postgres_url)
    first, second = (replace(settings, var=settings.var / name, cluster=cluster)
                     for name in ("first", "second"))
    with instance(first) as opened:
        opened.report_runless_asset_event(dg.AssetMaterialization("made"))
        assert "postgresql" not in (first.dagster_home / "dagster.yaml").read_text()
    with instance(second) as opened:
        assert opened.get_latest_materialization_event(dg.AssetKey("made")) is not None
    assert not list(settings.var.rglob("*.db"))
