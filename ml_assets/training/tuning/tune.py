"""A search on the latest training set of a system."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ml_assets.core.errors import NotReady
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.core.model.model import Model
from ml_assets.core.model.search import value_of, with_values
from ml_assets.core.system import System
from ml_assets.features.training_sets.stored import TrainingSet
from ml_assets.training.fit import fit
from ml_assets.training.loop.checkpoints import Checkpoints
from ml_assets.training.networks.shown import latest_of, without_shift
from ml_assets.training.rows.reading import rows_of
from ml_assets.training.rows.scoring import losses_of
from ml_assets.training.tuning.study import Lost, Trial, Values, search

SHARE = 0.2
"""Of the training rows, the latest, that trials are judged on, unless the fit declares one."""
FILE = "trials.journal"


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched, on what.

    folder: keeps the trials, so that a search that was killed goes on
    """

    system: System
    training_set: TrainingSet
    folder: Path

    def go(self, trials: int, tried: Callable[[Trial], None]) -> tuple[Trial, ...]:
        """All trials so far, at least so many of them finished; the first is what is declared.

        Nothing of the holdout is seen. Raises NotReady if the model declares no search, Optuna is
        not installed, or another process searches.
        """
        model = self.system.model
        if not model.search:
            raise NotReady(f"the model of {self.system.name!r} declares nothing to search: add "
                           "`search=(Between(name=\"network.hidden\", low=8, high=64), ...)` to it")
        declared = {each.name: value_of(model, each.name) for each in model.search}
        with Checkpoints(folder=self.folder, training=self.name).alone():
            return search(model.search, self._lost(), declared=declared, seed=model.seed,
                          file=self.folder / FILE, name=self.name, trials=trials, tried=tried)

    @property
    def name(self) -> str:
        """Trials of the same name can be compared: same rows, same declaration."""
        meaning = json.dumps([self.training_set.version, repr(self.system.model)])
        return hashlib.sha256(meaning.encode()).hexdigest()[:16]

    def _lost(self) -> Lost:
        """The mean loss of the latest training rows, of a model fitted to the rows before them."""
        declared, share = replace(self.system.model, search=()), share_of(self.system.model)

        def lost(values: Values) -> float:
            model = with_values(declared, dict(values))
            # How much rows count may be searched too.
            rows = rows_of(replace(self.system, model=model), self.training_set, "train")
            early, late = latest_of(rows, share)
            lost_N = losses_of(fit(model, self.system.target, early).scorer, late)
            counts = None if rows.shown is None else without_shift(late).weights
            return float(lost_N.mean() if counts is None else lost_N[counts > 0].mean())

        return lost


def share_of(model: Model) -> float:
    """The share of the training rows that trials are judged on."""
    fit = model.fit
    return fit.validation or SHARE if isinstance(fit, Minibatch) else SHARE
