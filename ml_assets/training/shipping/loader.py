"""How MLflow loads a model of ml-assets, in an environment that may lack the package.

This file is stored with each model as `code/ml_assets_model.py`, beside `ml_assets.zip`: the
modules that score, as they were when the model was trained. If the package is installed it is
used instead (it reads all models that were ever stored), and nothing is mixed. No pickle is
involved.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def _load_pyfunc(folder: str, config: dict[str, Any] | None = None) -> Any:
    """MLflow calls it with the model's folder and what its user configured."""
    if find_spec("ml_assets") is None:
        sys.path.append(str(Path(__file__).with_name("ml_assets.zip")))
    from ml_assets.training import pyfunc

    return pyfunc._load_pyfunc(folder, config)
