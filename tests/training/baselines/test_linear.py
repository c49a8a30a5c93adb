"""The linear model that others are held against is the one that people know."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from ml_assets.core.model import Categories, Embedding, Model, Numbers, Sequence, Tabular, Text
from ml_assets.core.target import Target
from ml_assets.targets import Binary, Classes, Number
from ml_assets.training.baselines.linear import fit_linear
from ml_assets.training.rows.labelled import LabelledRows

MODEL = Model(inputs=(Text("note"), Numbers("amount"), Categories("shop")), network=Tabular())
ROWS, SHOPS = 400, 4


def made(target: Target) -> LabelledRows:
    """What comes true depends on the amount and on the shop, and on luck."""
    draw = np.random.default_rng(5)
    amount, shop = draw.normal(size=ROWS), draw.integers(SHOPS, size=ROWS)
    codes = amount + np.array([-1.0, 0, 0.5, 2])[shop] + draw.normal(size=ROWS)
    if target.logits > 1:
        codes = np.digitize(codes, [-0.5, 1]).astype(float)
    elif target.loss != "mse_loss":
        codes = (codes > 0).astype(float)
    amount[:20] = np.nan
    return LabelledRows(
        texts={"note": ["hello"] * ROWS, "shop": [f"shop {each}" for each in shop]},
        dense=amount.astype(np.float32)[:, None], codes=codes, feature_names=("amount",))


def losses_of_peer(
    target: Target, inputs: npt.NDArray[np.float64], codes: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    if target.loss == "mse_loss":
        # Its penalty is on the squared weights, not on half of them.
        found = Ridge(alpha=0.5).fit(inputs, (codes - codes.mean()) / codes.std()).predict(inputs)
        return target.losses(codes, (codes.mean() + codes.std() * found)[:, None])
    found = LogisticRegression(tol=1e-8, max_iter=1000).fit(inputs, codes).predict_proba(inputs)
    return target.losses(codes, found if target.logits > 1 else found[:, 1:])


@pytest.mark.parametrize("target", [
    Binary(name="late"), Classes(name="size", classes=("s", "m", "l")),
    Number(name="minutes", unit="min", tolerance=1.0),
], ids=lambda each: type(each).__name__)
def test_it_loses_what_scikit_learn_loses(target: Target) -> None:
    rows = made(target)
    found = fit_linear(MODEL, target, rows)
    assert found is not None and found.convergence.settled
    arrays = found.encoder(rows.texts, rows.dense)
    inputs = np.hstack([arrays["numbers"], arrays["missing"],
                        np.eye(found.network.sizes[0])[arrays["categories"][:, 0]]])
    ours = target.losses(rows.codes, found.outputs(rows))
    theirs = losses_of_peer(target, inputs, rows.codes)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=1e-4)
    assert ours == pytest.approx(theirs, abs=0.01)


def test_texts_sequences_and_vectors_are_left_out() -> None:
    rows = LabelledRows(
        texts={"note": ["hello"] * 40}, codes=np.arange(40.0) % 2, coded=frozenset({"clicks_1"}),
        dense=np.random.default_rng(7).normal(size=(40, 2)).astype(np.float32),
        feature_names=("clicks_1", "shape_1"))
    model = Model(inputs=(Text("note"), Sequence("clicks"), Embedding("shape", size=1)),
                  network=Tabular())
    assert fit_linear(model, Binary(name="late"), rows) is None
