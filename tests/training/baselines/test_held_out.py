"""A model is held against the simplest ones, on rows that none of them saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ml_assets.core.data.subjects import Subjects
from ml_assets.core.model import HashedText, Model, Numbers, Text
from ml_assets.targets import Binary, Ranking
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
    found = compared(CONFIG, fit(CONFIG, TARGET, given).scorer, given, unseen,
                     Subjects.unknown(300))
    assert found is not None
    assert found.worth_it == signal, found.named()
    assert found.linear is not None and found.linear > 0.6
    assert found.named()["heldout_loss_of_constant"] == found.constant


def test_without_numbers_and_categories_there_is_no_linear_model() -> None:
    given = LabelledRows(texts={"note": ["good", "bad"] * 20}, dense=np.empty((40, 0), np.float32),
                         codes=np.arange(40.0) % 2, feature_names=())
    config = Model(inputs=(Text("note", unit="words"),), network=HashedText(buckets=2**6))
    found = compared(config, fit(config, TARGET, given).scorer, given, given,
                     Subjects.unknown(40))
    assert found is not None
    assert found.linear is None and found.worth_it


@dataclass(frozen=True, kw_only=True)
class Moved:
    """The probabilities of a scorer, each by so much in log-odds, after so many times as much."""

    sound: Any
    by: float = 0.0
    times: float = 1.0

    def outputs(self, texts: Any, dense: Any) -> Any:
        said = self.sound.outputs(texts, dense)
        return 1 / (1 + np.exp(-self.by) * ((1 - said) / said) ** self.times)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sound, name)


def test_a_ranking_is_held_against_them_by_its_order() -> None:
    """Scores that are far too high for what was drawn order it as well as any."""
    target = Ranking(name="taken", item="film")
    given, unseen = rows(500, 1, signal=True), rows(300, 2, signal=True)
    subjects = Subjects.of([f"page-{row // 10}#{row % 10 + 1}" for row in range(300)], {})
    scorer = fit(CONFIG, target, given).scorer
    found = compared(CONFIG, scorer, given, unseen, subjects)
    high = compared(CONFIG, Moved(sound=scorer, by=9.0), given, unseen, subjects)
    wrong = compared(CONFIG, Moved(sound=scorer, times=-1.0), given, unseen, subjects)
    assert found is not None and found.worth_it and found.model < 0.1
    assert high == found
    assert wrong is not None and not wrong.worth_it


def test_slates_of_which_nothing_was_taken_hold_it_against_nothing() -> None:
    target, given = Ranking(name="taken", item="film"), rows(500, 1, signal=True)
    nothing = given.take(np.flatnonzero(given.codes == 0))
    scorer = fit(CONFIG, target, given).scorer
    assert compared(CONFIG, scorer, given, nothing, Subjects.unknown(len(nothing))) is None
