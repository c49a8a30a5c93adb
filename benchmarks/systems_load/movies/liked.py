"""T3: whether somebody will like a film, four stars or five, from the features of the pages."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmarks.systems_load.movies.protocol import Ratings
from ml_assets.core.model import Minibatch, Model, Tabular
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.features.manifest import load_manifest
from ml_assets.features.offline import OfflineFeatures
from ml_assets.targets import Binary
from ml_assets.training.fit import fit
from ml_assets.training.rows.labelled import LabelledRows

LIKED = Binary(name="liked")
MODEL = Model(without=("watched_by_them", *(f"their_last_{place}" for place in range(1, 21))),
              network=Tabular(hidden=48, blocks=1, pieces=8, dropout=0.2),
              fit=Minibatch(epochs=12, rate=2e-3))


def likelihoods(
    settings: Settings, system: System, ratings: Ratings, until: datetime,
    tested: tuple[datetime, datetime],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """(liked, likelihood) of the ratings of a stretch, by a model of those before an instant."""
    seconds = [each.timestamp() for each in (until, *tested)]
    before, first, last = (int(np.searchsorted(ratings.at, each)) for each in seconds)
    known, asked = slice(before), slice(first, last)
    rows = _rows(settings, system, ratings, known)
    scorer = fit(MODEL, LIKED, rows).scorer
    unseen = _rows(settings, system, ratings, asked)
    return unseen.codes > 0, scorer.outputs({}, unseen.dense)[:, 0]


def auc(liked: npt.NDArray[np.bool_], likelihood: npt.NDArray[np.float64]) -> float:
    """In how many pairs the liked film has the higher likelihood."""
    rank = pd.Series(likelihood).rank().to_numpy()
    count = int(liked.sum())
    return float((rank[liked].sum() - count * (count + 1) / 2) / (count * (len(liked) - count)))


def _rows(
    settings: Settings, system: System, ratings: Ratings, some: slice
) -> LabelledRows:
    """Each rating with what was known before it, in order of time."""
    history = OfflineFeatures(settings, system)
    keys = pd.DataFrame({"viewer": ratings.viewers[some],
                         "film": ratings.numbers[ratings.films[some]]})
    at = pd.Series(pd.to_datetime(ratings.at[some], unit="s", utc=True))
    return LabelledRows(
        texts={}, dense=history.read(keys, at), feature_names=history.names,
        codes=(ratings.stars[some] >= 4).astype(np.float64),
        coded=frozenset(load_manifest(settings).service(system).coded))
