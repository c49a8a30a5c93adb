"""A model is held against the simplest ones, on rows that none of them saw."""

from __future__ import annotations

import numpy as np
import pytest

from ml_assets.core.model import HashedText, Model, Numbers, Text
from ml_assets.targets import Binary
from ml_assets.training.baselines.held_out import compared
from ml_assets.training.fit import fit
from ml_assets.training.rows.labelled import LabelledRows

TARGET = Binary(name="broken")
CONFIG = Model(inputs=(Numbers("reading"),), network=HashedText(hidden=4))


def rows(count: int, seed: int, *, signal: bool) -> LabelledRows:
    """Readings; those near zero are good if there is a signal."""
    draw = np.random.default_rng(seed)
    reading = draw.normal(size=count)
    labels = np.abs(reading) > 0.7 if signal else draw.random(count) < 0.5
    return LabelledRows(texts={}, dense=reading.astype(np.float32)[:, None],
                        codes=labels.astype(float), feature_names=("reading",))


@pytest.mark.parametrize("signal", [True, False])
def test_a_model_that_found_something_is_worth_it_and_one_of_noise_is_not(signal: bool) -> None:
    """The linear model finds nothing in what is symmetric."""
    given, unseen = rows(500, 1, signal=signal), rows(300, 2, signal=signal)
    found = compared(CONFIG, fit(CONFIG, TARGET, given).scorer, given, unseen)
    assert found.worth_it == signal, found.named()
    assert found.linear is not None and found.linear > 0.6
    assert found.named()["heldout_loss_of_constant"] == found.constant


def test_without_numbers_and_categories_there_is_no_linear_model() -> None:
    given = LabelledRows(texts={"note": ["good", "bad"] * 20}, dense=np.empty((40, 0), np.float32),
                         codes=np.arange(40.0) % 2, feature_names=())
    config = Model(inputs=(Text("note", unit="words"),), network=HashedText(buckets=2**6))
    found = compared(config, fit(config, TARGET, given).scorer, given, given)
    assert found.linear is None and found.worth_it
