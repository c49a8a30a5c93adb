"""What MLflow needs to run a model by itself, in an environment that it makes: its flavor."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Inputs = Mapping[str, Literal["string", "double"]]
"""The columns that a model reads, and their MLflow types."""

DATA = "data"
"""The model's own folder, beside MLflow's `MLmodel`."""
PARTS = (
    DATA, "MLmodel", "code", "requirements.txt", "python_env.yaml", "conda.yaml",
    "input_example.json", "serving_input_example.json",
)
"""All that is stored of a model, and what its checksum is over. Versions registered before
MLflow could run them have the first two alone."""


@dataclass(frozen=True, kw_only=True)
class Flavor:
    """How MLflow loads a model and what it tells of it.

    loader_module: its `_load_pyfunc(folder, config)` gives an object that predicts, from a
        DataFrame of the columns `inputs`, the numbers `outputs`
    code: files by name; MLflow puts their folder on `sys.path` before it loads
    requirements: what pip installs to load and predict, pinned; without MLflow itself
    config: what a user may change on loading, with its defaults; without any, the loader is
        given the folder alone
    example: the values of some rows, by column of `inputs`
    model_type: of `mlflow.models.evaluate`, such as "classifier"
    """

    loader_module: str
    inputs: Inputs
    outputs: Sequence[str]
    code: Mapping[str, bytes] = field(default_factory=dict)
    requirements: Sequence[str] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    example: Mapping[str, Sequence[Any]] | None = None
    model_type: str | None = None


def describe(
    flavor: Flavor, model: Path, stored: Path, *, run_id: str, model_id: str
) -> None:
    """Write all of `PARTS` but the folder `model` itself into the empty folder `stored`.

    Requirements are pinned to what is installed here. MLflow is its light package: loading,
    predicting and serving need no more, and it is installed in a fraction of the time.
    """
    import pandas as pd

    with warnings.catch_warnings():
        # MLflow 3.17 warns of type hints of its own.
        warnings.filterwarnings("ignore", "(?s).*type hint", UserWarning)
        import mlflow
        from mlflow.models import Model, ModelSignature
        from mlflow.pyfunc import FLAVOR_NAME, save_model
        from mlflow.types import ColSpec, Schema
    described = Model(run_id=run_id, model_id=model_id)
    with tempfile.TemporaryDirectory() as temporary:
        for name, content in flavor.code.items():
            (Path(temporary) / name).write_bytes(content)
        save_model(
            stored,
            loader_module=flavor.loader_module,
            code_paths=[str(path) for path in sorted(Path(temporary).iterdir())] or None,
            mlflow_model=described,
            signature=ModelSignature(
                Schema([ColSpec(dtype, column) for column, dtype in flavor.inputs.items()]),
                Schema([ColSpec("double", name) for name in flavor.outputs]),
            ),
            input_example=None if flavor.example is None else pd.DataFrame(flavor.example),
            pip_requirements=[f"mlflow-skinny=={mlflow.__version__}", *flavor.requirements],
            model_config=dict(flavor.config) or None,
        )
    # `save_model` would copy the model one folder deeper, where those of before are not.
    described.flavors[FLAVOR_NAME]["data"] = DATA
    described.model_size_bytes = sum(
        path.stat().st_size for path in model.rglob("*") if path.is_file())
    described.save(str(stored / "MLmodel"))
