"""Laws of the registry, on a real MLflow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_assets.core.errors import ModelRefused, UnknownName
from ml_assets.core.settings import ROOT, Settings
from ml_assets.registry.models import ModelRegistry, ModelVersion
from ml_assets.registry.tracking import runs
from tests.registry.multiplier import MULTIPLIER

TAGS = {"data_version": "abc123", "dagster_run_id": "run-1", "feature_service": "toy_returns"}


def register(registry: ModelRegistry, system: str, folder: Path) -> ModelVersion:
    return registry.register(
        system, folder, params={"epochs": 4, "fields": ({"column": "note"},)},
        metrics={"train_loss": 0.25, "recall_at_fpr_1%": 0.5}, tags=TAGS,
        figures={"loss": b"\x89PNG"}, flavor=MULTIPLIER,
    )


def test_versions_count_from_one_and_the_latest_is_the_candidate(
    registry_of_each: ModelRegistry, folder: Path
) -> None:
    registry = registry_of_each
    first, second = (register(registry, "counted", folder) for _ in range(2))
    assert (first.version, second.version) == (1, 2)
    assert registry.latest("counted") == second
    assert registry.versions("counted") == [first, second]
    assert registry.aliased("counted", "candidate") == 2
    assert registry.aliased("counted", "champion") is None


def test_an_alias_names_one_version(registry: ModelRegistry, folder: Path) -> None:
    for version in (register(registry, "aliased", folder).version for _ in range(2)):
        registry.set_alias("aliased", "champion", version)
        assert registry.aliased("aliased", "champion") == version


def test_an_alias_that_two_set_at_once_is_set(registry: ModelRegistry, folder: Path) -> None:
    """MLflow looks whether it is there, then makes it: the second to make it would fail."""
    register(registry, "raced", folder)

    def name(_: int) -> None:
        meeting.wait()
        registry.set_alias("raced", "champion", 1)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            registry.remove_alias("raced", "champion")
            meeting = threading.Barrier(4)
            list(pool.map(name, range(4)))
            assert registry.aliased("raced", "champion") == 1


def test_a_version_keeps_what_it_was_made_from(registry: ModelRegistry, folder: Path) -> None:
    version = register(registry, "kept", folder)
    assert registry.get("kept", version.version) == version
    assert version.tags == TAGS
    run = runs.connect(registry.settings).get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"epochs": "4", "fields": '[{"column": "note"}]'}
    assert run.data.metrics == {"train_loss": 0.25, "recall_at_fpr_1pc": 0.5}
    assert TAGS.items() <= run.data.tags.items()
    assert run.inputs is not None
    (data_set,) = run.inputs.dataset_inputs
    assert (data_set.dataset.name, data_set.dataset.digest) == ("kept/training_set", "abc123")


def test_the_folder_comes_back_without_a_copy(
    registry_of_each: ModelRegistry, folder: Path
) -> None:
    registry = registry_of_each
    version = register(registry, "folded", folder)
    there = registry.folder("folded", version.version)
    assert there.is_relative_to(registry.settings.mlflow_artifacts)
    assert [path.name for path in there.iterdir()] == ["factor.json"]
    assert (there / "factor.json").read_bytes() == (folder / "factor.json").read_bytes()


def test_another_process_loads_the_version_by_its_uri(
    registry_of_each: ModelRegistry, folder: Path
) -> None:
    registry = registry_of_each
    version = register(registry, "reloaded", folder)
    code = (
        "import mlflow, pandas as pd, sys; mlflow.set_tracking_uri(sys.argv[1]);"
        "model = mlflow.pyfunc.load_model(sys.argv[2]);"
        "print(model.predict(pd.DataFrame({'amount': [1.0, 2.0]})).tolist())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, registry.settings.mlflow_tracking_uri, version.uri],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT), "PATH": "",
             **{name: value for name, value in os.environ.items() if name.startswith("AWS_")}},
    )
    assert answer.stdout.strip() == "[3.0, 6.0]", answer.stderr


def test_a_verdict_comes_back_as_it_was_stored(
    registry_of_each: ModelRegistry, folder: Path
) -> None:
    registry = registry_of_each
    version = register(registry, "judged", folder)
    assert registry.evaluation("judged", version.version) is None
    for verdict in ({"passed": False, "low": None}, {"passed": True, "low": 0.1}):
        registry.log_evaluation(
            "judged", version.version, verdict, metrics={"roc_auc": 0.9}, figures={"roc": b"\x89"}
        )
        assert registry.evaluation("judged", version.version) == verdict
    run = runs.connect(registry.settings).get_run(version.run_id)
    assert run.data.metrics["holdout/roc_auc"] == 0.9
    assert run.info.status == "FINISHED"


def test_a_second_verdict_replaces_the_metrics_of_the_first(
    registry: ModelRegistry, folder: Path
) -> None:
    version = register(registry, "rejudged", folder)
    for value in (0.9, 0.8):
        registry.log_evaluation("rejudged", version.version, {}, metrics={"roc_auc": value})
    run = runs.connect(registry.settings).get_run(version.run_id)
    assert run.data.metrics["holdout/roc_auc"] == 0.8


def test_a_registration_that_fails_leaves_a_failed_run_and_no_version(
    registry_of_each: ModelRegistry, folder: Path
) -> None:
    registry = registry_of_each
    with pytest.raises(Exception, match="bad"):
        registry.register("broken", folder, params={"bad%name": 1}, metrics={}, tags={})
    assert registry.latest("broken") is None
    client = runs.connect(registry.settings)
    experiment = client.get_experiment_by_name("broken")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED"
    assert register(registry, "broken", folder).version == 1


def test_an_unknown_version_is_answered_with_the_known_ones(
    registry: ModelRegistry, folder: Path
) -> None:
    register(registry, "known", folder)
    with pytest.raises(UnknownName, match=r"no version of model 'known' '7'\. Known: 1"):
        registry.folder("known", 7)
    with pytest.raises(UnknownName, match="Known: none"):
        registry.log_evaluation("never_registered", 1, {})
    with pytest.raises(UnknownName, match="Known: 1"):
        registry.set_alias("known", "champion", 2)


def test_a_version_without_its_files_is_refused(registry: ModelRegistry, folder: Path) -> None:
    version = register(registry, "lost", folder)
    shutil.rmtree(registry.folder("lost", version.version))
    with pytest.raises(ModelRefused, match="version 1 of model 'lost' has lost its files"):
        registry.folder("lost", version.version)


def test_a_folder_that_is_not_there_is_refused_before_a_run_starts(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefused, match="no_model: not there"):
        registry.register("absent", tmp_path / "no_model", params={}, metrics={}, tags={})
    assert runs.connect(registry.settings).get_experiment_by_name("absent") is None


def test_a_look_at_an_empty_registry_makes_nothing(settings: Settings) -> None:
    registry = ModelRegistry(settings)
    assert registry.latest("toy") is None
    assert registry.versions("toy") == []
    assert registry.aliased("toy", "champion") is None
    with pytest.raises(UnknownName, match="Known: none"):
        registry.get("toy", 1)
    assert not settings.var.exists()


@pytest.mark.parametrize("name", ["MLmodel", "data/factor.json", "requirements.txt"])
def test_a_bit_that_flipped_in_any_stored_file_of_a_version_is_refused(
    registry: ModelRegistry, folder: Path, name: str
) -> None:
    system = f"flipped_{name[:4].lower()}"
    registry.register(system, folder, params={}, metrics={}, tags={}, flavor=MULTIPLIER)
    stored = registry.folder(system, 1).parent / name
    content = bytearray(stored.read_bytes())
    for bit in range(0, 8 * len(content), 7):
        content[bit // 8] ^= 1 << bit % 8
        stored.write_bytes(bytes(content))
        with pytest.raises(ModelRefused, match=f"version 1 of model '{system}'"):
            registry.folder(system, 1)
        content[bit // 8] ^= 1 << bit % 8
        if bit > 140:
            break
    stored.write_bytes(bytes(content))
    registry.folder(system, 1)
