"""How MLflow scores with one of our models: `mlflow.pyfunc.load_model("models:/<system>/1")`.

MLflow calls `_load_pyfunc` with the model's folder, by way of `shipping/loader.py`; models
stored before there was one name this module. No pickle is involved.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ml_assets.core.errors import InvalidRequest
from ml_assets.core.texts import key_text
from ml_assets.training import artifact
from ml_assets.training.scored import TrainedScorer

ANSWERS = ("outputs", "decision")
"""What a model may be loaded to answer; the first unless something else is asked for."""


@dataclass(frozen=True, kw_only=True)
class PandasScorer:
    """Predicts from a DataFrame that has the model's text and dense columns.

    answer: one of `ANSWERS`
    """

    scorer: TrainedScorer
    answer: str = ANSWERS[0]

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            raise InvalidRequest(
                f"the model should answer {self.answer!r}; expected {' or '.join(ANSWERS)}: "
                'load it with model_config={"answer": "decision"}, for example')

    def predict(
        self, rows: pd.DataFrame, params: dict[str, object] | None = None
    ) -> pd.DataFrame | pd.Series[Any]:
        """The target's outputs, one column for each, of B rows; or the labels decided for (B,).

        Missing numbers and texts are NaN or None.
        """
        texts = {column: [key_text(None if pd.isna(text) else text) for text in rows[column]]
                 for column in self.scorer.texts}
        dense = rows[list(self.scorer.feature_names)].to_numpy(np.float32)
        outputs, target = self.scorer.outputs(texts, dense), self.scorer.target
        if self.answer == "decision":
            labels = map(target.label_of, target.decide(outputs).tolist())
            return pd.Series(list(labels), index=rows.index, name=target.name)
        return pd.DataFrame(outputs, columns=list(target.outputs), index=rows.index)


def _load_pyfunc(folder: str, config: dict[str, Any] | None = None) -> PandasScorer:
    return PandasScorer(scorer=artifact.load(Path(folder)),
                        answer=(config or {}).get("answer", ANSWERS[0]))
