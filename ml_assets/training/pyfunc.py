"""How MLflow scores with one of our models: `mlflow.pyfunc.load_model("models:/<system>/1")`.

MLflow calls `_load_pyfunc` with the model's folder; no pickle is involved.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ml_assets.training import artifact
from ml_assets.training.scored import TrainedScorer


@dataclass(frozen=True, kw_only=True)
class PandasScorer:
    """Predicts from a DataFrame that has the model's text and dense columns."""

    scorer: TrainedScorer

    def predict(
        self, rows: pd.DataFrame, params: dict[str, object] | None = None
    ) -> pd.DataFrame:
        """The target's outputs, one column for each, of B rows."""
        texts = {column: rows[column].tolist() for column in self.scorer.texts}
        dense = rows[list(self.scorer.feature_names)].to_numpy(np.float32)
        return pd.DataFrame(self.scorer.outputs(texts, dense),
                            columns=list(self.scorer.target.outputs), index=rows.index)


def _load_pyfunc(folder: str) -> PandasScorer:
    return PandasScorer(scorer=artifact.load(Path(folder)))
