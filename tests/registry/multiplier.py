"""A loader module for MLflow: the model is the file `factor.json`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from ml_assets.registry.tracking.flavor import Flavor

MULTIPLIER = Flavor(
    loader_module="tests.registry.multiplier", inputs={"amount": "double"}, outputs=("product",),
    requirements=("pandas==2.3.3",), example={"amount": [1.0, 2.0]}, model_type="regressor",
)
"""How MLflow loads one, where this module is."""


class Multiplier:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict(self, rows: pd.DataFrame) -> pd.Series[float]:
        return rows["amount"] * self.factor


def _load_pyfunc(folder: str) -> Multiplier:
    return Multiplier(json.loads((Path(folder) / "factor.json").read_text()))
