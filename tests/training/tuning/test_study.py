"""A search tries values, keeps what it has tried, and says what was best."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ml_assets.core.errors import NotReady, TrainingFailed
from ml_assets.core.model.search import Among, Between
from ml_assets.training.tuning.picture import picture
from ml_assets.training.tuning.report import as_code, described, snippet
from ml_assets.training.tuning.study import Lost, Trial, Values, best_of, search
from tests.core.model.test_search import Whole

SPACE = (Between(name="fit.rate", low=1e-4, high=1.0, log=True),
         Among(name="fit.batch", values=(64, 256)),
         Between(name="seed", low=1, high=9))
DECLARED: Values = {"fit.rate": 1e-3, "fit.batch": 256, "seed": 7}


def far_from_a_tenth(values: Values) -> float:
    rate = values["fit.rate"]
    assert isinstance(rate, float)
    return abs(rate - 0.1) + (values["fit.batch"] == 64)


def searched(file: Path, trials: int, lost: Lost = far_from_a_tenth, *, name: str = "first",
             tried: list[Trial] | None = None) -> tuple[Trial, ...]:
    return search(SPACE, lost, declared=DECLARED, file=file, name=name, trials=trials, seed=3,
                  tried=(tried if tried is not None else []).append)


def test_the_declared_values_are_tried_first_and_better_ones_are_found(tmp_path: Path) -> None:
    told: list[Trial] = []
    trials = searched(tmp_path / "trials", 25, tried=told)
    assert trials[0].values == DECLARED and trials[0].loss == pytest.approx(0.099)
    best = best_of(trials)
    assert best.loss is not None and best.loss < 0.05 and best.values["fit.batch"] == 256
    assert tuple(told) == trials and len(trials) == 25
    assert all(isinstance(trial.values["seed"], int) for trial in trials)


def test_a_search_goes_on_where_it_was(tmp_path: Path) -> None:
    """Also after a trial whose process was killed."""
    class Killed(BaseException):
        pass

    def kills(values: Values) -> float:
        raise Killed

    before = searched(tmp_path / "trials", 4)
    with pytest.raises(Killed):
        searched(tmp_path / "trials", 6, kills)
    trials = searched(tmp_path / "trials", 8)
    assert trials[:4] == before and trials[4].loss is None and len(trials) == 8
    assert len({trial.values["fit.rate"] for trial in trials}) >= 7
    assert searched(tmp_path / "trials", 8) == trials
    assert searched(tmp_path / "trials", 1, name="second")[0].values == DECLARED


def test_a_trial_that_fails_is_left_out(tmp_path: Path) -> None:
    def fails(values: Values) -> float:
        if values["fit.batch"] == 64:
            raise TrainingFailed("the loss was nan")
        return 1.0

    trials = searched(tmp_path / "trials", 8, fails)
    assert best_of(trials).number == 0
    assert {trial.loss for trial in trials} == {None, 1.0}
    with pytest.raises(NotReady, match="all 1 trials failed"):
        best_of([Trial(number=0, values={}, loss=None)])


def test_the_best_values_are_given_to_paste() -> None:
    assert snippet(Whole(), {"fit.rate": 0.0123456, "fit.batch": 64, "seed": 7}) == (
        "fit=Minibatch(batch=64, rate=0.01235),\nseed=7,")
    assert as_code(Whole()) == "Whole()"


def test_a_report_has_both_losses_and_a_picture(tmp_path: Path) -> None:
    trials = searched(tmp_path / "trials", 6)
    said = described(Whole(), trials)
    assert said["declared_loss"] == trials[0].loss and said["trials"] == 6
    assert "fit.rate (declared 0.001)" in said
    assert picture(trials, SPACE, "made up").startswith(b"\x89PNG")


TIMES = (Between(name="fit.half_life", low=timedelta(hours=6), high=timedelta(days=60), log=True),)
KINDS = (Among(name="fit.half_life", values=(None, timedelta(days=3), timedelta(days=10))),
         Among(name="fit.class_weights", values=("equal", ((True, 5.0),))))


def test_times_and_values_of_any_type_are_tried_kept_and_given_to_paste(tmp_path: Path) -> None:
    def far(values: Values) -> float:
        found = values["fit.half_life"]
        days = found / timedelta(days=1) if isinstance(found, timedelta) else 100.0
        return abs(days - 3) + (values.get("fit.class_weights", ((True, 5.0),)) == "equal")

    declared: Values = {"fit.half_life": timedelta(days=10)}
    trials = [search(TIMES, far, declared=declared, file=tmp_path / "trials", name="times",
                     trials=count, seed=3) for count in (6, 20)]
    assert trials[0] == trials[1][:6] and trials[1][0].values == declared
    best = best_of(trials[1]).values["fit.half_life"]
    assert isinstance(best, timedelta) and timedelta(days=1) < best < timedelta(days=6)
    assert picture(trials[1], TIMES, "times").startswith(b"\x89PNG")

    first: Values = {"fit.half_life": None, "fit.class_weights": "equal"}
    found = search(KINDS, far, declared=first, file=tmp_path / "trials", name="kinds", trials=12,
                   seed=3)
    assert found[0].values == first
    assert best_of(found).values == {"fit.half_life": timedelta(days=3),
                                     "fit.class_weights": ((True, 5.0),)}
    assert snippet(Whole(), best_of(found).values) == (
        "fit=Minibatch(class_weights=((True, 5.0),), half_life=timedelta(days=3)),")
    assert described(Whole(), found)["fit.half_life (declared None)"] == "timedelta(days=3)"
    assert picture(found, KINDS, "kinds").startswith(b"\x89PNG")
