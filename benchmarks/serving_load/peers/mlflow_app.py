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
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array
from model import Exported


class Payments(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    def load_context(self, context: Any) -> None:
        self.exported = Exported(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> list[float]:
        return self.exported.score(model_input["note"].tolist(), model_input["dense"].tolist())


def main(model: str, port: str) -> None:
    folder = Path(tempfile.mkdtemp(dir=Path(model).parent)) / "model"
    signature = ModelSignature(
        # A column for each number would cost it 2.5 times as much.
        inputs=Schema([ColSpec("string", "note"), ColSpec(Array(DataType.double), "dense")])
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
