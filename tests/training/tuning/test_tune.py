"""A system searches for better values of its model's declaration: by command, and as a job."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from ml_assets import systems
from ml_assets.automation.jobs import jobs_of, names_of
from ml_assets.core.errors import DeclarationError, NotReady
from ml_assets.core.model.search import Among, Between
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.training_sets.training_set import TrainingSets
from ml_assets.training.tuning import assets
from ml_assets.training.tuning.study import Trial, best_of
from ml_assets.training.tuning.tune import Search
from ml_assets.tune_cli import tune
from tests.made_sets import stored
from tests.toy import TOY
from tests.trips import TRIPS
from tests.whole_loop import repository_of

SPACE = (Between(name="network.l2_dense", low=0.1, high=1000.0, log=True),
         Among(name="network.hidden", values=(0, 4, 16)))


def searching(system: System) -> System:
    return replace(system, model=replace(system.model, search=SPACE))


RETURNS, DURATIONS = searching(TOY), searching(TRIPS)
"""Yes or no of a text and a number; a quantity of numbers."""


def with_training_set(settings: Settings, system: System, rows: int = 120) -> TrainingSets:
    """Made rows, stored as the latest training set: a number says all of the label."""
    random = np.random.default_rng(1)
    says = random.normal(size=rows).astype(np.float32)
    label = says > 0 if system.target.lake_type == "bool" else says * 10.0 + 30
    made = pd.DataFrame({
        "event_timestamp": pd.date_range("2024-01-01", periods=rows, freq="h", tz="UTC"),
        "label": label, "split": ["train"] * (rows - 20) + ["holdout"] * 20,
        **{column: ["some words"] * rows for column in system.model.texts},
        **dict.fromkeys(system.model.numbers, says),
    })
    sets = TrainingSets(settings, system)
    sets.folder.mkdir(parents=True)
    made.to_parquet(sets.folder / "made.parquet")
    (sets.folder / "latest.json").write_text(json.dumps({
        "version": "made", "as_of": datetime(2024, 2, 1, tzinfo=UTC).isoformat(),
        "feature_names": list(system.model.numbers), "texts": list(system.model.texts),
        "partitions": ["2024-01-01", "2024-01-06"], "feature_service": "made", "labels": rows,
        "events_lacking": 0, "coded": [],
    }))
    return sets


@pytest.mark.parametrize("system", [RETURNS, DURATIONS], ids=lambda system: system.name)
def test_better_values_are_found_on_the_latest_training_rows(
    system: System, tmp_path: Path
) -> None:
    settings = Settings(var=tmp_path)
    training_set = with_training_set(settings, system).latest()
    told: list[Trial] = []
    search = Search(system=system, training_set=training_set, folder=tmp_path / "search")
    trials = search.go(5, told.append)
    assert trials[0].values == {"network.l2_dense": 10.0, "network.hidden": 16}
    assert len(trials) == len(told) == 5
    best, declared = best_of(trials).loss, trials[0].loss
    assert best is not None and declared is not None and best <= declared
    assert search.go(5, told.append) == trials and len(told) == 5
    changed = replace(search, system=replace(system, model=replace(system.model, seed=8)))
    assert changed.name != search.name


@pytest.mark.parametrize("system", [TOY, TRIPS], ids=lambda system: system.name)
def test_how_fast_rows_fade_is_searched_like_any_value(system: System, tmp_path: Path) -> None:
    """Of the first rows the number says the opposite, or as much less: only a model of rows that
    fade is right about the latest.
    """
    space = (Among(name="fit.half_life", values=(None, timedelta(hours=6))),)
    system = replace(system, model=replace(system.model, search=space))
    made = with_training_set(Settings(var=tmp_path), system).latest()
    rows = made.rows.copy()
    early = np.arange(len(rows)) < 60
    rows.loc[early, list(system.model.numbers)] *= -1
    search = Search(system=system, training_set=replace(made, path=stored(rows)),
                    folder=tmp_path / "search")
    trials = search.go(6, lambda trial: None)
    assert trials[0].values == {"fit.half_life": None}
    assert best_of(trials).values == {"fit.half_life": timedelta(hours=6)}
    best, declared = best_of(trials).loss, trials[0].loss
    assert best is not None and declared is not None and best < 0.9 * declared


def test_the_holdout_is_not_seen(tmp_path: Path) -> None:
    settings = Settings(var=tmp_path)
    training_set = with_training_set(settings, DURATIONS).latest()
    rows = training_set.rows.copy()
    rows.loc[rows["split"] == "holdout", "label"] = 1e6
    spoilt = replace(training_set, path=stored(rows))
    found = [Search(system=DURATIONS, training_set=each, folder=tmp_path / name).go(
        2, lambda trial: None) for name, each in (("a", training_set), ("b", spoilt))]
    assert found[0] == found[1]


def test_a_model_that_declares_no_search_says_how(tmp_path: Path) -> None:
    training_set = with_training_set(Settings(var=tmp_path), TOY).latest()
    with pytest.raises(NotReady, match=r"declares nothing to search: add `search="):
        Search(system=TOY, training_set=training_set, folder=tmp_path).go(1, lambda trial: None)


def test_only_a_system_that_declares_a_search_has_the_asset_and_the_job(tmp_path: Path) -> None:
    assert assets.build(TRIPS) == [] and len(assets.build(DURATIONS)) == 1
    with repository_of(tmp_path / "repo", DURATIONS):
        found = [{job.name for job in jobs_of(system)} for system in (DURATIONS, TRIPS)]
    assert found[0] - found[1] == {"trips_tune"} <= set(names_of("trips"))


def test_what_cannot_be_declared_cannot_be_searched() -> None:
    for space in ((Between(name="network.hiden", low=1, high=2),),
                  (Between(name="network.buckets", low=1024, high=1500),),
                  (Between(name="seed", low=1, high=2),), (SPACE[0], SPACE[0]),
                  (Among(name="network.hidden", values=(1, 2)),)):
        with pytest.raises(DeclarationError, match=r"hiden|buckets|seed|l2_dense|declared value"):
            replace(TOY.model, search=space)


def test_the_job_shows_a_snippet_and_a_plot(tmp_path: Path) -> None:
    settings = Settings(var=tmp_path)
    with_training_set(settings, DURATIONS)
    [tuning] = assets.build(DURATIONS)
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [tuning], instance=instance, resources={"settings": settings},
            run_config={"ops": {tuning.op.name: {"config": {"trials": 3}}}})
    [event] = done.asset_materializations_for_node(tuning.op.name)
    assert event.metadata["trials"].value == 3
    assert "network=HashedText(" in str(event.metadata["snippet"].value)
    assert ".png" in str(event.metadata["plot"].value)


def test_the_command_prints_what_to_paste_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_ASSETS_VAR", str(tmp_path / "var"))
    monkeypatch.setattr(systems, "SYSTEMS", (DURATIONS,))
    first = CliRunner().invoke(tune, [DURATIONS.name, "--trials", "1"])
    assert isinstance(first.exception, NotReady) and "no training set yet" in str(first.exception)
    with_training_set(Settings(var=tmp_path / "var"), DURATIONS)
    for trials in (2, 3):
        done = CliRunner().invoke(tune, [DURATIONS.name, "--trials", str(trials)])
        assert done.exit_code == 0, done.output
        assert f"trials: {trials}" in done.output and "network=HashedText(" in done.output
    assert "trial 2 of" not in done.stderr
