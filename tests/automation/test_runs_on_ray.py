"""Runs that Dagster's daemon launches on a real Ray cluster give what a process here gives."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from ml_assets.automation.instance import prepare_home
from ml_assets.core.errors import DeclarationError
from ml_assets.core.model import Minibatch, Model, Numbers, Tabular
from ml_assets.core.profiles.cluster import Cluster
from ml_assets.core.settings import Settings
from ml_assets.core.time import DAY
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.tables import batch_schema
from ml_assets.registry.models import ModelRegistry
from ml_assets.training.resources import resource_tags
from tests.automation.ray_installation import (
    cluster_with_jobs,
    ray_installation,
)
from tests.whole_loop import WHOLE, whole_loop

pytestmark = pytest.mark.slow

LAST = WHOLE.calendar.go_live - DAY
DAYS = {"dagster/asset_partition_range_start": (LAST - DAY).isoformat(),
        "dagster/asset_partition_range_end": LAST.isoformat()}
ON_GPU = replace(WHOLE, model=Model(
    inputs=(Numbers("amount"),), network=Tabular(), fit=Minibatch(device="cuda")))
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pytest.importorskip("dagster_ray")
    with cluster_with_jobs() as started:
        yield started


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], pd.DataFrame]:
    """Of this process."""
    with whole_loop(tmp_path_factory.mktemp("here")) as loop:
        for day in (LAST - DAY, LAST):
            loop.runs.batch(day)
        return model_of(loop.settings), scores_of(loop.settings)


def model_of(settings: Settings) -> dict[str, bytes]:
    """The files of the only version that there is."""
    registry = ModelRegistry(settings)
    assert [each.version for each in registry.versions("toy")] == [1]
    folder = registry.folder("toy", 1)
    return {path.name: path.read_bytes() for path in folder.iterdir()
            if path.suffix in (".safetensors", ".json")}


def scores_of(settings: Settings) -> pd.DataFrame:
    return Lake(settings.lake).read("toy", "batch_predictions", batch_schema(WHOLE))


def test_a_run_whose_job_is_killed_fails_and_the_next_one_has_the_bits_of_a_process_here(
    address: str, tmp_path: Path, expected: tuple[dict[str, bytes], pd.DataFrame]
) -> None:
    """Dagster's own monitoring notices the death, and its own retries begin again."""
    with ray_installation(tmp_path, ML_ASSETS_RAY=address, ML_ASSETS_RUNS="ray") as there:
        run_id = there.sensed("toy_retraining")
        there.begun(run_id, "toy__model")
        os.kill(there.process_of(run_id), signal.SIGKILL)
        assert there.ended(run_id) == FAILURE
        assert not ModelRegistry(there.loop.settings).versions("toy")
        [again] = there.retried(run_id)
        assert there.ended(again) == SUCCESS
        assert "toy_retraining" in there.captured(again)
        assert not any(there.gpus_given())
        batch = there.launch("toy_batch", **DAYS, **resource_tags(ON_GPU))
        assert there.ended(batch) == SUCCESS
        assert sorted(there.gpus_given())[-2:] == [0, 1]
        model, scores = expected
        assert model_of(there.loop.settings) == model and len(model) > 1
        pd.testing.assert_frame_equal(scores_of(there.loop.settings), scores, check_exact=True)


def test_a_run_that_is_killed_rejoins_its_steps_which_are_jobs_of_their_own(
    address: str, tmp_path: Path, expected: tuple[dict[str, bytes], pd.DataFrame]
) -> None:
    with ray_installation(
            tmp_path, ML_ASSETS_RAY=address, ML_ASSETS_RUNS="ray", ML_ASSETS_STEPS="ray") as there:
        run_id = there.sensed("toy_retraining")
        there.begun(run_id, "toy__model")
        os.kill(there.process_of(run_id), signal.SIGKILL)
        assert there.ended(run_id) == SUCCESS
        assert "Resuming run" in there.engine_said(run_id)
        assert not there.instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run_id}))
        assert model_of(there.loop.settings) == expected[0]
        batch = there.launch("toy_batch", **DAYS)
        there.begun(batch, "toy__batch_predictions")
        os.kill(there.process_of(batch, "toy__batch_predictions"), signal.SIGKILL)
        assert there.ended(batch) == FAILURE
        assert scores_of(there.loop.settings).empty


def test_a_password_in_the_database_s_address_is_refused_because_a_dashboard_would_show_it(
    settings: Settings, address: str
) -> None:
    for postgres in ("postgresql://ml:secret@db/ml", "postgresql://db/ml?user=a&password=secret"):
        there = replace(settings, runs="ray", ray=address, cluster=Cluster(postgres=postgres))
        with pytest.raises(DeclarationError, match=r"Keep it in PGPASSWORD") as raised:
            prepare_home(there)
        assert "secret" not in str(raised.value)
