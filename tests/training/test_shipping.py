"""What is stored with a model scores where nothing of this package is installed."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest

from ml_assets.core.errors import InvalidRequest
from ml_assets.core.settings import Settings
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.tracking.flavor import PARTS
from ml_assets.registry.tracking.runs import connect, logged_model
from ml_assets.training import artifact
from ml_assets.training.pyfunc import PandasScorer
from ml_assets.training.shipping.modules import needed, pinned
from tests.training.registered import Registered, registered

KINDS = ("binary", "classes", "number")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Registered]:
    return registered(Settings(var=tmp_path_factory.mktemp("shipping") / "var"))


def test_scoring_needs_few_light_packages_and_no_room_below_training() -> None:
    scoring = needed()
    assert {"numpy", "pandas", "msgspec", "safetensors"} <= set(scoring.packages)
    assert not {"torch", "mlflow", "feast", "dagster", "pyarrow"} & set(scoring.packages)
    rooms = {module.split(".")[1] for module in scoring.modules if "." in module}
    assert rooms == {"core", "targets", "training"}
    assert pinned(scoring.packages) == tuple(
        f"{name}=={version(name)}" for name in scoring.packages)


def test_the_same_sources_are_the_same_bytes() -> None:
    first, second = needed().zipped(), needed().zipped()
    assert first == second
    with ZipFile(BytesIO(first)) as archive:
        assert archive.read("ml_assets/training/pyfunc.py")


@pytest.mark.parametrize("kind", KINDS)
def test_another_python_without_this_package_gives_the_same_bits(
    kind: str, models: dict[str, Registered], tmp_path: Path
) -> None:
    model = models[kind]
    rows = tmp_path / "rows.json"
    rows.write_text(model.unseen.drop(columns="label").to_json(orient="split", double_precision=15))
    code = (
        "import sys, json; sys.path[:0] = sys.argv[1:3]\n"
        "import ml_assets_model, pandas as pd\n"
        "model = ml_assets_model._load_pyfunc(sys.argv[3], {'answer': 'outputs'})\n"
        "import ml_assets; assert 'ml_assets.zip' in ml_assets.__file__, ml_assets.__file__\n"
        "assert not {'torch', 'mlflow', 'matplotlib'} & set(sys.modules)\n"
        "rows = pd.read_json(sys.argv[4], orient='split', precise_float=True)\n"
        "print(json.dumps(model.predict(rows).to_numpy().tolist()))"
    )
    # Isolated and without `site`: an editable install of ours is not seen, what it needs is.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(model.folder / "code"),
         sysconfig.get_path("purelib"), str(model.folder / "data"), str(rows)],
        cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    scorer = artifact.load(model.folder / "data")
    expected = PandasScorer(scorer=scorer).predict(
        pd.read_json(rows, orient="split", precise_float=True))
    assert json.loads(done.stdout) == expected.to_numpy().tolist()


def test_what_is_stored_is_what_the_checksum_is_over(models: dict[str, Registered]) -> None:
    """Else a file could be damaged unnoticed."""
    folder = models["binary"].folder
    assert {path.name for path in folder.iterdir()} - {"registered_model_meta"} == set(PARTS)
    assert {path.name for path in (folder / "code").iterdir()} - {"__pycache__"} == {
        "ml_assets_model.py", "ml_assets.zip"}


def test_a_damaged_file_of_the_code_is_refused_and_compiled_files_are_not(
    models: dict[str, Registered]
) -> None:
    model = models["number"]
    registry, name = ModelRegistry(model.settings), model.system.name
    compiled = model.folder / "code" / "__pycache__"
    compiled.mkdir(exist_ok=True)
    (compiled / "ml_assets_model.pyc").write_bytes(b"compiled")
    registry.folder(name, 1)
    loader = model.folder / "code" / "ml_assets_model.py"
    sound = loader.read_bytes()
    loader.write_bytes(sound + b"#")
    try:
        with pytest.raises(Exception, match="not those that were registered"):
            registry.folder(name, 1)
    finally:
        loader.write_bytes(sound)


@pytest.mark.parametrize("kind", KINDS)
def test_the_decisions_are_labels_as_the_api_answers_them(
    kind: str, models: dict[str, Registered]
) -> None:
    model = models[kind]
    target = model.system.target
    scorer = artifact.load(model.folder / "data")
    rows = model.unseen.drop(columns="label")
    outputs = PandasScorer(scorer=scorer).predict(rows).to_numpy(np.float64)
    decided = PandasScorer(scorer=scorer, answer="decision").predict(rows)
    assert decided.name == target.name
    labels = decided.to_list() if isinstance(decided, pd.Series) else []
    assert labels == [target.label_of(code) for code in target.decide(outputs)]
    assert [target.label(label) for label in labels] == labels


def test_an_answer_that_there_is_not_is_refused(models: dict[str, Registered]) -> None:
    scorer = artifact.load(models["binary"].folder / "data")
    with pytest.raises(InvalidRequest, match="'score'; expected outputs or decision"):
        PandasScorer(scorer=scorer, answer="score")


def test_missing_values_score_as_the_api_scores_them(models: dict[str, Registered]) -> None:
    """A missing text is an empty one, a missing number is NaN, however pandas spells them."""
    model = models["binary"]
    scorer = artifact.load(model.folder / "data")
    rows = pd.DataFrame({"note": [None, np.nan, ""], "amount": [1.0, 1.0, 1.0],
                         "of_store": [None, np.nan, None]}, dtype=object)
    predicted = PandasScorer(scorer=scorer).predict(rows)
    dense = np.array([[1, np.nan]] * 3, np.float32)
    assert predicted.to_numpy().tolist() == scorer.outputs({"note": [""] * 3}, dense).tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_logged_model_has_parameters_metrics_and_a_type(
    kind: str, models: dict[str, Registered]
) -> None:
    model = models[kind]
    registry = ModelRegistry(model.settings)
    registry.log_evaluation(model.system.name, 1, {}, metrics={"log_loss": 0.5})
    client = connect(model.settings)
    model_id = logged_model(client, model.version.run_id)
    assert model_id is not None
    logged = client.get_logged_model(model_id)
    assert logged.model_type == model.system.target.model_type
    assert json.loads(logged.params["target"])["name"] == model.system.target.name
    metrics = {metric.key: metric.value for metric in logged.metrics or ()}
    assert {"train_loss", "serving_difference", "holdout/log_loss"} <= set(metrics)
    assert metrics["holdout/log_loss"] == 0.5
