"""The built-in network of tables is as good as what tables are usually given to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from ml_assets.core.model import Categories, Minibatch, Model, Numbers, Tabular
from ml_assets.targets import Binary
from ml_assets.training.fit import fit
from ml_assets.training.rows.labelled import LabelledRows

ROWS, HELD_OUT = 40_000, 10_000
NUMBERS = tuple(f"n{each}" for each in range(8))
SIZES = {"few": 5, "some": 30, "many": 200}


def table() -> tuple[dict[str, npt.NDArray[np.int64]], npt.NDArray[np.float32],
                     npt.NDArray[np.float64]]:
    """Thresholds, a peak, products and missing numbers; categories of 5, 30 and 200 values."""
    draw = np.random.default_rng(4)
    n = draw.normal(size=(ROWS, 8)).astype(np.float32)
    n[:, 3] = draw.lognormal(2, 1, ROWS)
    categories = {name: draw.integers(size, size=ROWS) for name, size in SIZES.items()}
    effects = sum(draw.normal(0, 0.5, size)[categories[name]] for name, size in SIZES.items())
    odds = (1.2 * (n[:, 0] > 0.5) * (n[:, 1] < 0) + 1.5 * (np.abs(n[:, 2]) < 0.4)
            + 0.4 * np.log(n[:, 3]) + 0.6 * n[:, 4] * n[:, 5] + effects - 1.5)
    missing = draw.random(ROWS) < 0.1
    n[missing, 6] = np.nan
    return categories, n, (draw.random(ROWS) < 1 / (1 + np.exp(-odds - missing))).astype(float)


@pytest.mark.slow
def test_on_a_made_table_it_is_within_a_hundredth_of_gradient_boosting() -> None:
    """By the area under the ROC curve of rows that neither has seen."""
    categories, numbers, codes = table()
    seen, unseen = slice(ROWS - HELD_OUT), slice(ROWS - HELD_OUT, None)
    both = np.column_stack([numbers, *categories.values()])
    trees = HistGradientBoostingClassifier(
        categorical_features=[8, 9, 10], random_state=0).fit(both[seen], codes[seen])
    theirs = roc_auc_score(codes[unseen], trees.predict_proba(both[unseen])[:, 1])

    texts = {name: [str(each) for each in values] for name, values in categories.items()}
    model = Model(inputs=(Numbers(*NUMBERS), Categories(*SIZES)), network=Tabular(),
                  fit=Minibatch(epochs=12))
    scorer = fit(model, Binary(name="bought"), LabelledRows(
        texts={name: values[seen] for name, values in texts.items()}, dense=numbers[seen],
        codes=codes[seen], feature_names=NUMBERS)).scorer
    ours = roc_auc_score(codes[unseen], scorer.outputs(
        {name: values[unseen] for name, values in texts.items()}, numbers[unseen])[:, 0])
    assert theirs > 0.7
    assert ours > theirs - 0.01, (ours, theirs)
