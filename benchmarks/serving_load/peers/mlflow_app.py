"""MLflow's own server. `mlflow_app.py MODEL PORT` saves a pyfunc model and serves it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from model import Exported

COLUMNS = ["note", *(f"x{place}" for place in range(30))]


class Payments(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    def load_context(self, context: Any) -> None:
        self.exported = Exported(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> list[float]:
        dense = model_input[COLUMNS[1:]].to_numpy(float).tolist()
        return self.exported.score(model_input["note"].tolist(), dense)


def main(model: str, port: str) -> None:
    folder = Path(tempfile.mkdtemp(dir=Path(model).parent)) / "model"
    signature = ModelSignature(
        inputs=Schema([ColSpec("string", "note"), *(ColSpec("double", x) for x in COLUMNS[1:])])
    )
    mlflow.pyfunc.save_model(
        folder, python_model=Payments(), artifacts={"model": model}, signature=signature,
        code_paths=[str(Path(__file__).with_name("model.py"))], pip_requirements=[],
    )
    program = str(Path(sys.executable).with_name("mlflow"))
    os.execv(program, [
        program, "models", "serve", "-m", str(folder), "--env-manager", "local",
        "--host", "127.0.0.1", "--port", port, "--workers", "1",
    ])


if __name__ == "__main__":
    main(*sys.argv[1:])
