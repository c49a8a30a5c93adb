"""The model as MLflow loads it scores what the model itself scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ml_assets.core.model import FullBatch, HashedText, Model, Numbers, Text
from ml_assets.targets import Binary
from ml_assets.training import artifact
from ml_assets.training.fit import fit
from ml_assets.training.pyfunc import _load_pyfunc
from ml_assets.training.rows.labelled import LabelledRows


def test_a_data_frame_in_any_order_of_columns_scores_as_the_model_does(tmp_path: Path) -> None:
    config = Model(inputs=(Text("note"), Numbers("amount")),
                   network=HashedText(buckets=2**8), fit=FullBatch(iterations=3))
    notes = ["it is broken", "it is lovely"] * 10
    dense = np.array([[1, np.nan], [2, 3]] * 10, dtype=np.float32)
    scorer = fit(config, Binary(name="broken"), LabelledRows(
        texts={"note": notes}, dense=dense, codes=np.array([1.0, 0.0] * 10),
        feature_names=("amount", "shop_returns"))).scorer
    artifact.save(scorer, tmp_path, texts={"note": notes[:2]}, dense=dense[:2])
    rows = pd.DataFrame({"unused": 0, "shop_returns": dense[:, 1].astype(float),
                         "amount": dense[:, 0].astype(float), "note": notes})
    predicted = _load_pyfunc(str(tmp_path)).predict(rows)
    assert list(predicted.columns) == ["probability"]
    np.testing.assert_allclose(predicted, scorer.outputs({"note": notes}, dense), atol=1e-6)
