"""Laws of margins: any network can be fitted to them, and they become honest probabilities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import _sigmoid_calibration
from sklearn.svm import LinearSVC

from ml_assets.core.errors import DeclarationError, NotReady
from ml_assets.core.model import (
    FullBatch,
    HashedText,
    Minibatch,
    Model,
    Numbers,
    Tabular,
    Text,
    Torch,
)
from ml_assets.targets import Binary
from ml_assets.training import artifact
from ml_assets.training.agreement import largest_difference
from ml_assets.training.calibration import FLATTEST, line_of
from ml_assets.training.fit import fit
from ml_assets.training.loop.losses import MeanLoss
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.scored import TrainedScorer
from tests.trips import TRIPS

LATE = Binary(name="late")
MODELS = {
    "texts": Model(inputs=(Text("note", unit="words"), Numbers("amount")), loss="squared_hinge",
                   network=HashedText(buckets=2**10, pieces=0, l2_dense=0.1)),
    "all at once": Model(inputs=(Numbers("amount"),), network=Tabular(hidden=8, blocks=1),
                         loss="squared_hinge", fit=FullBatch(iterations=30)),
    "in batches": Model(inputs=(Numbers("amount"),), network=Tabular(hidden=8, blocks=1),
                        loss="squared_hinge", fit=Minibatch(epochs=20, rate=0.01)),
}


def made(count: int, seed: int) -> LabelledRows:
    """The amount tells the label half, and so do the words."""
    draw = np.random.default_rng(seed)
    amount = draw.normal(size=count)
    words = draw.choice(["good", "bad", "so"], (count, 6))
    odds = 1.5 * amount + 1.5 * (words == "bad").sum(1) - 1.5 * (words == "good").sum(1) - 0.5
    return LabelledRows(
        texts={"note": [" ".join(each) for each in words]},
        dense=amount[:, None].astype(np.float32), feature_names=("amount",),
        codes=(draw.random(count) < 1 / (1 + np.exp(-odds))).astype(float))


@pytest.mark.parametrize("name", MODELS)
def test_a_margin_becomes_a_probability_that_is_served_and_stored_as_it_was_trained(
    name: str, tmp_path: Path
) -> None:
    """On rows that nothing was fitted to it loses hardly more than a model of log loss does, and
    less than the bare margin would.
    """
    rows, unseen, model = made(1500, 1), made(1500, 2), MODELS[name]
    fitted = fit(model, LATE, rows)
    assert largest_difference(fitted, unseen.texts, unseen.dense) <= 1e-5

    def lost(scorer: TrainedScorer) -> float:
        return float(LATE.losses(unseen.codes, scorer.outputs(unseen.texts, unseen.dense)).mean())

    scorer = fitted.scorer
    assert scorer.scale.slope > FLATTEST
    plain = fit(replace(model, loss=None), LATE, rows).scorer
    assert lost(scorer) < 1.02 * lost(plain)
    assert lost(scorer) < lost(scorer.rescaled(LATE.scale(rows.codes)))
    artifact.save(scorer, tmp_path, texts={"note": rows.texts["note"][:3]}, dense=rows.dense[:3],
                  state=fitted.state)
    loaded = artifact.load(tmp_path)
    assert loaded.scale == scorer.scale
    assert loaded.outputs(unseen.texts, unseen.dense).tolist() == \
        scorer.outputs(unseen.texts, unseen.dense).tolist()


@given(seed=st.integers(0, 2**32), count=st.integers(4, 200), spread=st.floats(0.1, 5))
def test_the_line_is_the_one_that_scikit_learn_finds(
    seed: int, count: int, spread: float
) -> None:
    """Its sign is the opposite there."""
    draw = np.random.default_rng(seed)
    codes_N = (np.arange(count) % 3 == 0).astype(float)
    margins_N = draw.normal(size=count) * spread + codes_N
    weights_N = np.ones(count)
    slope, offset = line_of(margins_N, codes_N, weights_N)
    a, b = _sigmoid_calibration(margins_N, codes_N)
    if -a >= FLATTEST:
        assert (slope, offset) == pytest.approx((-a, -b), abs=0.02 * max(1, abs(a), abs(b)))


def test_a_weight_of_two_is_a_row_that_occurs_twice() -> None:
    draw = np.random.default_rng(3)
    margins_N, codes_N = draw.normal(size=50), (draw.random(50) < 0.4).astype(float)
    weights_N = draw.integers(1, 4, 50).astype(float)
    twice = np.arange(50).repeat(weights_N.astype(int))
    assert line_of(margins_N, codes_N, weights_N) == pytest.approx(
        line_of(margins_N[twice], codes_N[twice], np.ones(len(twice))), abs=1e-6)


def test_a_margin_that_points_the_wrong_way_keeps_its_direction() -> None:
    """A calibration must not turn a ranking round by chance."""
    slope, _ = line_of(np.array([3.0, 2, 1, -1, -2]), np.array([0.0, 0, 0, 1, 1]), np.ones(5))
    assert slope == FLATTEST


def test_with_a_penalty_the_margin_is_that_of_a_support_vector_machine() -> None:
    """liblinear minimises the same: half the squared weights and the summed squared hinge."""
    draw = np.random.default_rng(4)
    rows = draw.normal(size=(80, 3))
    codes_N = (rows[:, 0] + draw.normal(size=80) > 0).astype(float)
    peer = LinearSVC(C=1.0, fit_intercept=False, tol=1e-8, max_iter=100_000).fit(rows, codes_N)
    weights = torch.zeros(3, dtype=torch.double, requires_grad=True)
    loss, wanted = MeanLoss("squared_hinge"), torch.from_numpy(codes_N)
    optimiser = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe",
                                  tolerance_change=1e-12)

    def evaluate() -> torch.Tensor:
        optimiser.zero_grad()
        mean = loss(torch.from_numpy(rows) @ weights, wanted, None)
        total = mean * 80 + 0.5 * weights.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(evaluate)  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(weights.detach().numpy(), peer.coef_[0], atol=1e-5)


def test_too_few_rows_to_calibrate_on_are_refused_in_words() -> None:
    with pytest.raises(NotReady, match="no row is left to calibrate"):
        fit(MODELS["texts"], LATE, made(40, 5).part(0, 4))


def test_a_network_with_a_loss_of_its_own_has_no_second_one() -> None:
    """One of them would be ignored."""
    with pytest.raises(DeclarationError, match="OneLayer has a method loss"):
        fit(replace(MODELS["in batches"],
                    network=Torch("tests.training.networks.own:OneLayer", {"size": 1})),
            LATE, made(40, 5))


def test_a_number_has_no_margin() -> None:
    """Nor has one of several classes: the declaration says so."""
    with pytest.raises(DeclarationError, match=r"model\.loss is 'squared_hinge'; expected none"):
        replace(TRIPS, model=replace(TRIPS.model, loss="squared_hinge"))


def test_an_unknown_loss_is_named() -> None:
    with pytest.raises(DeclarationError, match=r"Model\.loss is 'hinge'.*squared_hinge"):
        Model(loss="hinge")  # type: ignore[arg-type]
