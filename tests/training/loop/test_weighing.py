"""Rows count as declared, by label and by a column."""

from __future__ import annotations

import numpy as np
import pytest

from ml_assets.core.errors import InvalidRequest, NotReady
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.core.target import Target
from ml_assets.targets import Binary, Classes, Number
from ml_assets.training.loop.weighing import Weighing

BROKEN, STATE = Binary(name="is_broken"), Classes(name="state", classes=("good", "worn", "lost"))
MINUTES = Number(name="minutes", unit="min", tolerance=1.0)


def weighed(fit: Minibatch, target: Target, codes: list[float]) -> list[float] | None:
    found = Weighing.of(fit, target, np.array(codes))(np.array(codes))
    return None if found is None else found.tolist()


def test_rows_count_once_unless_declared() -> None:
    assert weighed(Minibatch(), BROKEN, [0, 1, 1]) is None


def test_balanced_classes_count_the_same_together() -> None:
    assert weighed(Minibatch(class_weights="balanced"), BROKEN, [0, 0, 0, 1]) == pytest.approx(
        [2 / 3, 2 / 3, 2 / 3, 2])
    assert weighed(Minibatch(class_weights="balanced"), STATE, [0, 1, 1, 2, 2, 2]) == pytest.approx(
        [2, 1, 1, 2 / 3, 2 / 3, 2 / 3])


def test_quantities_have_no_classes_to_balance() -> None:
    assert weighed(Minibatch(class_weights="balanced"), MINUTES, [1.5, 9, 9]) == [1, 1, 1]


def test_labels_count_as_declared_and_others_once() -> None:
    assert weighed(Minibatch(class_weights=((True, 5.0),)), BROKEN, [0, 1]) == [1, 5]
    assert weighed(Minibatch(class_weights=(("lost", 0.5), ("good", 2.0))), STATE,
                   [0, 1, 2]) == [2, 1, 0.5]


def test_a_label_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="state"):
        weighed(Minibatch(class_weights=(("stolen", 2.0),)), STATE, [0])


def test_a_column_multiplies() -> None:
    weigh = Weighing.of(Minibatch(class_weights=((True, 5.0),)), BROKEN, np.array([0.0, 1]))
    found = weigh(np.array([0.0, 1]), np.array([2, 3]))
    assert found is not None and found.tolist() == [2, 15] and found.dtype == np.float32


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_a_sample_weight_that_cannot_be_is_refused(wrong: float) -> None:
    with pytest.raises(NotReady, match="expected a number from 0 on"):
        Weighing.of(Minibatch(), BROKEN, np.ones(2))(np.ones(2), np.array([1.0, wrong]))
