"""Trials of other values, each told from the ones before (Optuna's tree of Parzen estimators)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_assets.core.errors import MlAssetsError, NotReady
from ml_assets.core.model.search import Among, Between, Value
from ml_assets.core.storage.files import make_private

if TYPE_CHECKING:
    import optuna

Values = Mapping[str, Value]
Lost = Callable[[Values], float]
"""What a model with these values loses on rows that it was not fitted to."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One try. loss: None if it failed"""

    number: int
    values: Values
    loss: float | None


def search(
    space: Sequence[Between | Among],
    lost: Lost,
    *,
    declared: Values,
    file: Path,
    name: str,
    trials: int,
    seed: int,
    tried: Callable[[Trial], None] = lambda trial: None,
) -> tuple[Trial, ...]:
    """All trials so far, at least `trials` of them finished; the first has the `declared` values.

    file: keeps the trials of any number of searches, so that one that was killed goes on
    name: of this search; another name begins anew
    tried: is told of each trial as it ends

    Raises NotReady if Optuna is not installed.
    """
    optuna = _optuna()
    make_private(file)
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(file)))
    study = optuna.create_study(study_name=name, storage=storage, load_if_exists=True)
    finished = _end_dead(study)
    # Another seed after a restart: else the same random values would be drawn again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + finished)
    if not study.trials:
        study.enqueue_trial({name: _noted(value) for name, value in declared.items()})
    if finished < trials:
        study.optimize(
            lambda trial: lost(_drawn(space, trial)), n_trials=trials - finished,
            catch=(MlAssetsError,), callbacks=[lambda _, trial: tried(_trial(space, trial))])
    return tuple(_trial(space, trial) for trial in study.trials)


def best_of(trials: Sequence[Trial]) -> Trial:
    """The one that lost least, the earliest of equals. Raises NotReady if all failed."""
    done = [trial for trial in trials if trial.loss is not None]
    if not done:
        raise NotReady(f"all {len(trials)} trials failed; the log says why. Search closer to what "
                       "is declared")
    return min(done, key=lambda trial: (trial.loss, trial.number))


def _drawn(space: Sequence[Between | Among], trial: optuna.Trial) -> Values:
    noted: dict[str, Any] = {}
    for each in space:
        if isinstance(each, Among):
            noted[each.name] = trial.suggest_categorical(each.name, [*map(_noted, each.values)])
        elif isinstance(each.low, int) and isinstance(each.high, int):
            noted[each.name] = trial.suggest_int(each.name, each.low, each.high, log=each.log)
        else:
            noted[each.name] = trial.suggest_float(each.name, *each.bounds, log=each.log)
    return _values(space, noted)


def _noted(value: Value) -> bool | int | float | str | None:
    """As Optuna's journal has it: of a time its seconds, of several values their words."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return repr(value) if isinstance(value, tuple) else value


def _values(space: Sequence[Between | Among], noted: Mapping[str, Any]) -> Values:
    """What the model is declared with."""
    found: dict[str, Value] = {}
    for each in space:
        if each.name not in noted:  # a trial that failed early has not drawn all
            continue
        value = noted[each.name]
        if isinstance(each, Among):
            value = next(own for own in each.values if _noted(own) == value)
        elif each.is_time:
            value = timedelta(seconds=round(value))
        found[each.name] = value
    return found


def _end_dead(study: optuna.Study) -> int:
    """How many trials have ended; those that a killed process had begun count as failed."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return len(study.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL)))


def _trial(space: Sequence[Between | Among], found: optuna.trial.FrozenTrial) -> Trial:
    return Trial(number=found.number, values=_values(space, found.params), loss=found.value)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise NotReady("a search needs Optuna: pip install 'ml-assets[tune]'") from error
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna
