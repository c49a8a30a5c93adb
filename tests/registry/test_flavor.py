"""What MLflow finds of a version: environment, example, signature, parameters and metrics."""

from __future__ import annotations

import json
import platform
import warnings
from dataclasses import replace
from importlib.metadata import version as installed
from pathlib import Path

import pandas as pd
import pytest
import yaml  # type: ignore[import-untyped]  # comes with MLflow, ships no types

from ml_assets.core.storage.checksums import of_parts
from ml_assets.registry.models import CHECKSUM, ModelRegistry
from ml_assets.registry.tracking import runs
from tests.registry.multiplier import MULTIPLIER

PINNED = [f"mlflow-skinny=={installed('mlflow-skinny')}", "pandas==2.3.3"]


@pytest.fixture(scope="module")
def stored(registry: ModelRegistry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is stored of one version."""
    folder = tmp_path_factory.mktemp("flavor")
    (folder / "factor.json").write_text("3.0")
    registry.register("flavored", folder, params={"epochs": 4}, metrics={"loss_1%": 0.5}, tags={},
                      flavor=replace(MULTIPLIER, code={"helper.py": b"x = 1\n"}))
    return registry.folder("flavored", 1).parent


def test_the_environment_is_pinned_for_every_manager_of_mlflow(stored: Path) -> None:
    assert (stored / "requirements.txt").read_text().split() == PINNED
    python_env = yaml.safe_load((stored / "python_env.yaml").read_text())
    assert python_env["python"] == platform.python_version()
    assert python_env["dependencies"] == ["-r requirements.txt"]
    conda = yaml.safe_load((stored / "conda.yaml").read_text())
    assert conda["dependencies"][0] == f"python={platform.python_version()}"
    assert conda["dependencies"][-1] == {"pip": PINNED}


def test_the_flavor_names_the_model_its_code_and_its_environment(stored: Path) -> None:
    described = yaml.safe_load((stored / "MLmodel").read_text())
    flavor = described["flavors"]["python_function"]
    assert flavor["loader_module"] == MULTIPLIER.loader_module
    assert (flavor["data"], flavor["code"]) == ("data", "code")
    assert flavor["env"] == {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    assert (stored / "code" / "helper.py").read_bytes() == b"x = 1\n"
    assert (stored / "data" / "factor.json").exists()
    inputs = json.loads(described["signature"]["inputs"])
    assert [(each["name"], each["type"]) for each in inputs] == [("amount", "double")]


def test_the_example_can_be_sent_as_it_is(stored: Path) -> None:
    sent = json.loads((stored / "serving_input_example.json").read_text())
    assert sent == {"dataframe_split": {"columns": ["amount"], "data": [[1.0], [2.0]]}}


def test_nothing_that_is_stored_is_a_pickle(stored: Path) -> None:
    assert not [path for path in stored.rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib")]
    assert not any(path.read_bytes().startswith(b"\x80") for path in stored.rglob("*")
                   if path.is_file() and path.parent.name != "__pycache__")


def test_parameters_type_and_metrics_are_on_the_logged_model(
    registry: ModelRegistry, stored: Path
) -> None:
    registry.log_evaluation("flavored", 1, {}, metrics={"auc": 0.75})
    client = runs.connect(registry.settings)
    model_id = runs.logged_model(client, registry.get("flavored", 1).run_id)
    assert model_id is not None
    logged = client.get_logged_model(model_id)
    assert (logged.model_type, logged.params) == ("regressor", {"epochs": "4"})
    assert {metric.key: metric.value for metric in logged.metrics or ()} == {
        "loss_1pc": 0.5, "holdout/auc": 0.75}


def test_a_version_from_before_mlflow_could_run_it_is_found_and_judged_as_ever(
    registry: ModelRegistry, folder: Path, tmp_path: Path
) -> None:
    """It has two parts, and its logged model no parameters."""
    client = runs.connect(registry.settings)
    with runs.tracked_run(client, registry.settings, "of_old", {}) as (run_id, experiment_id):
        model = client.create_logged_model(experiment_id, name="of_old", source_run_id=run_id)
        kept = tmp_path / "kept"
        kept.mkdir()
        folder.rename(kept / "data")
        (kept / "MLmodel").write_text(
            "flavors:\n  python_function:\n    data: data\n"
            "    loader_module: tests.registry.multiplier\n    python_version: 3.11.2\n")
        client.log_model_artifacts(model.model_id, str(kept))
        model = client.finalize_logged_model(model.model_id, "READY")
        client.create_registered_model("of_old")
        client.create_model_version("of_old", model.artifact_location, run_id,
                                    tags={CHECKSUM: of_parts(kept, ("data", "MLmodel"))})
    assert (registry.folder("of_old", 1) / "factor.json").read_text() == "3.0"
    registry.log_evaluation("of_old", 1, {"passed": True}, metrics={"auc": 0.5})
    assert registry.evaluation("of_old", 1) == {"passed": True}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*type hint", UserWarning)
        from mlflow.pyfunc import load_model
    loaded = load_model(str(registry.folder("of_old", 1).parent))
    assert list(loaded.predict(pd.DataFrame({"amount": [2.0]}))) == [6.0]
