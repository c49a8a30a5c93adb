"""MLflow's four doors, opened as a user does: predict, serve, evaluate, generate-dockerfile.

The first two run the model in an environment that MLflow makes with pip from what is stored with
it, where this package is not. MLflow has pyenv install Python for it, `predict` into a new folder
each time: built from source, in minutes and from an address that is no package registry. What
stands in for pyenv here says where the Python of the tests is.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.settings import ROOT, Settings
from ml_assets.registry.models import ModelRegistry
from ml_assets.serving.models.scoring import Floats
from ml_assets.training import artifact
from tests.tracks import PAGE
from tests.training.mlflow_scripts import EVALUATE, EVALUATE_ORDER, PREDICT
from tests.training.registered import Registered, registered

pytestmark = pytest.mark.slow

MLFLOW = str(Path(sys.executable).parent / "mlflow")
KINDS = ("binary", "classes", "number")

PYENV = f"""#!/bin/sh
root="${{PYENV_ROOT:-$HERE}}"
case "$1" in
    root) echo "$root" ;;
    install) for version; do :; done
        test "$version" = {platform.python_version()} || exit 1
        mkdir -p "$root/versions" && ln -sfn {sys.base_prefix} "$root/versions/$version" ;;
    *) exit 1 ;;
esac
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Registered]:
    """Skips where MLflow could not make an environment; in CI it must."""
    why = _missing(tmp_path_factory.mktemp("reachable"))
    if why and os.environ.get("CI") != "true":
        pytest.skip(why)
    return registered(Settings(var=tmp_path_factory.mktemp("doors") / "var"))


@pytest.fixture(scope="module")
def environment(
    models: dict[str, Registered], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str]:
    """Variables of a user who has activated the environment and knows where MLflow's database is,
    and nothing of this checkout.
    """
    kept = {name: value for name, value in os.environ.items()
            if name not in ("PYTHONPATH", "PYENV_ROOT")
            and not name.startswith(("ML_ASSETS_", "MLFLOW_"))}
    folder = tmp_path_factory.mktemp("pyenv")
    (folder / "pyenv").write_text(PYENV.replace("$HERE", str(folder)))
    (folder / "pyenv").chmod(0o700)
    return kept | {
        "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": next(iter(models.values())).settings.mlflow_tracking_uri,
        "MLFLOW_ENV_ROOT": str(tmp_path_factory.mktemp("environments")),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _missing(folder: Path) -> str | None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder),
         "safetensors"], capture_output=True, text=True, check=False)
    return None if not done.returncode else f"no package registry in reach: {done.stderr[-300:]}"


def run(*command: str, environment: Mapping[str, str], cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=environment, text=True, capture_output=True,
                          check=False)
    said = f"{command}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    assert not done.returncode, said
    return done.stdout


def sent(model: Registered) -> str:
    """The unseen rows in the form of `serving_input_example.json`."""
    rows = model.unseen.drop(columns="label")
    return json.dumps({"dataframe_split": json.loads(
        rows.to_json(orient="split", index=False, double_precision=15))})


def of_api(model: Registered) -> list[dict[str, float]]:
    """What the API's scorer says of the same rows."""
    scorer = artifact.load(ModelRegistry(model.settings).folder(model.system.name, 1))
    texts = {column: model.unseen[column].tolist() for column in scorer.texts}
    dense: Floats = model.unseen[list(scorer.feature_names)].to_numpy("float32")
    return [dict(zip(scorer.target.outputs, row, strict=True))
            for row in scorer.outputs(texts, dense).tolist()]


def require_close(answered: list[dict[str, float]], expected: list[dict[str, float]]) -> None:
    assert len(answered) == len(expected) > 10
    for row, wanted in zip(answered, expected, strict=True):
        assert row == pytest.approx(wanted, abs=1e-12)


def test_predict_gives_the_scores_of_the_api_in_an_environment_of_its_own(
    models: dict[str, Registered], environment: Mapping[str, str], tmp_path: Path
) -> None:
    model = models["binary"]
    (tmp_path / "rows.json").write_text(sent(model))
    run(MLFLOW, "models", "predict", "--model-uri", f"models:/{model.system.name}/1",
        "--input-path", "rows.json", "--output-path", "scores.json",
        environment=environment, cwd=tmp_path)
    answered: dict[str, Any] = json.loads((tmp_path / "scores.json").read_text())
    require_close(answered["predictions"], of_api(model))


@pytest.fixture(scope="module")
def predicted(
    models: dict[str, Registered], environment: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What `mlflow models predict` says of each kind; by one process, whose imports take seconds.

    A process that has only that model is made for each kind elsewhere here.
    """
    folder = tmp_path_factory.mktemp("predicted")
    for model in models.values():
        (folder / f"{model.system.name}.json").write_text(sent(model))
    run(sys.executable, "-c", PREDICT, *(model.system.name for model in models.values()),
        environment=environment, cwd=folder)
    return {kind: json.loads((folder / f"{model.system.name}.scores.json").read_text())
            for kind, model in models.items()}


@pytest.mark.parametrize("kind", [*KINDS, "ranking"])
def test_predict_gives_them_in_the_environment_at_hand(
    kind: str, models: dict[str, Registered], predicted: dict[str, Any]
) -> None:
    """The package's own, or any other with what requirements.txt names."""
    require_close(predicted[kind]["predictions"], of_api(models[kind]))


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_serve_gives_the_scores_of_the_api_over_a_socket(
    kind: str, models: dict[str, Registered], environment: Mapping[str, str], tmp_path: Path
) -> None:
    model = models[kind]
    with served(model, environment, tmp_path) as address:
        answer = httpx.post(f"{address}/invocations", content=sent(model),
                            headers={"content-type": "application/json"}, timeout=60)
        assert answer.status_code == 200, answer.text
        require_close(answer.json()["predictions"], of_api(model))
        bad = httpx.post(f"{address}/invocations", json={"dataframe_records": [{"other": 1}]})
        assert bad.status_code == 400
        assert "missing inputs" in bad.text
    [made] = Path(environment["MLFLOW_ENV_ROOT"]).iterdir()
    packages = {path.name for path in made.glob("lib/python*/site-packages/*")}
    assert "safetensors" in packages
    assert not {"ml_assets", "torch", "dagster", "feast"} & packages


@contextmanager
def served(
    model: Registered, environment: Mapping[str, str], folder: Path, *options: str
) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [MLFLOW, "models", "serve", "--model-uri", f"models:/{model.system.name}/1",
             "--port", str(port), *options],
            cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(1200):
            assert server.poll() is None, (folder / "log").read_text()
            try:
                if httpx.get(f"{address}/ping").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()  # MLflow lets its server end with it
        server.wait(60)


def test_serve_answers_for_the_rows_of_a_slate_in_the_environment_at_hand(
    models: dict[str, Registered], environment: Mapping[str, str], tmp_path: Path
) -> None:
    model = models["ranking"]
    with served(model, environment, tmp_path, "--env-manager", "local") as address:
        answer = httpx.post(f"{address}/invocations", content=sent(model),
                            headers={"content-type": "application/json"}, timeout=60)
        assert answer.status_code == 200, answer.text
        require_close(answer.json()["predictions"], of_api(model))


@pytest.fixture(scope="module")
def evaluated(
    models: dict[str, Registered], environment: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, float]]:
    """By system, what MLflow measures, in the environment of the tests, where this package is: as
    in a notebook beside it.
    """
    folder, asked = tmp_path_factory.mktemp("evaluated"), list[str]()
    for model in models.values():
        model.unseen.to_parquet(folder / f"{model.system.name}.parquet")
        asked += [model.system.name, model.system.target.model_type]
    said = run(sys.executable, "-c", EVALUATE, *asked,
               environment={**environment, "PYTHONPATH": str(ROOT)}, cwd=folder)
    found: dict[str, dict[str, float]] = json.loads(said.splitlines()[-1])
    return found


@pytest.mark.parametrize("kind", [*KINDS, "ranking"])
def test_evaluate_measures_the_decisions(
    kind: str, models: dict[str, Registered], evaluated: dict[str, dict[str, float]]
) -> None:
    model = models[kind]
    target, metrics = model.system.target, evaluated[model.system.name]
    assert metrics["example_count"] == len(model.unseen)
    codes = target.codes(model.unseen["label"].tolist())
    scorer = artifact.load(model.folder / "data")
    texts = {column: model.unseen[column].tolist() for column in scorer.texts}
    outputs = scorer.outputs(texts, model.unseen[list(scorer.feature_names)].to_numpy("float32"))
    if target.model_type == "classifier":
        right = target.right(codes, target.decide(outputs)).mean()
        assert metrics["accuracy_score"] == pytest.approx(right)
    else:
        assert metrics["mean_squared_error"] == pytest.approx(target.losses(codes, outputs).mean())


def test_evaluate_measures_the_order_of_slates(
    models: dict[str, Registered], environment: Mapping[str, str], tmp_path: Path
) -> None:
    """MLflow's own NDCG and recall of the model's order are those of the asset `evaluation`."""
    model = models["ranking"]
    # Of ties, which the asset averages over, MLflow knows nothing.
    unseen = model.unseen.assign(of_store=np.linspace(0, 1, len(model.unseen)))
    model = replace(model, unseen=unseen)
    rows = unseen.assign(event_id=model.event_ids, item=model.items,
                         output=[row["probability"] for row in of_api(model)])
    assert rows["output"].is_unique
    rows.drop(columns="output").to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "evaluate.py").write_text(EVALUATE_ORDER)
    said = run(sys.executable, "evaluate.py", model.system.name, str(PAGE), "rows.parquet",
               environment={**environment, "PYTHONPATH": str(ROOT)}, cwd=tmp_path)
    metrics, target = json.loads(said.splitlines()[-1]), model.system.target
    measured = target.measured(
        target.codes(rows["label"].tolist()), rows[["output"]].to_numpy(),
        Subjects.of(rows["event_id"].tolist(), {})).measure(np.ones((1, len(rows))))
    assert metrics[f"ndcg_at_{PAGE}/mean"] == pytest.approx(measured["ndcg"][0])
    assert metrics[f"recall_at_{PAGE}/mean"] == pytest.approx(measured["recall"][0])


def test_the_dockerfile_names_what_is_needed(
    models: dict[str, Registered], environment: Mapping[str, str], tmp_path: Path
) -> None:
    model = models["number"]
    run(MLFLOW, "models", "generate-dockerfile", "--model-uri", f"models:/{model.system.name}/1",
        "--output-directory", "image", environment=environment, cwd=tmp_path)
    dockerfile = (tmp_path / "image" / "Dockerfile").read_text()
    assert dockerfile.splitlines()[1] == f"FROM python:{platform.python_version()}-slim"
    [copied] = [line.split()[1] for line in dockerfile.splitlines()
                if line.startswith("COPY") and line.endswith("/opt/ml/model")]
    assert "_install_pyfunc_deps('/opt/ml/model'" in dockerfile
    image = tmp_path / "image" / copied
    assert (image / "requirements.txt").read_text() == (
        model.folder / "requirements.txt").read_text()
    assert (image / "code" / "ml_assets.zip").exists()
