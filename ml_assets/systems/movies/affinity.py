"""How much a film's genres are those that somebody watches."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

GENRES = ("drama", "comedy", "action", "thriller", "romance", "adventure")
"""Those that most films have."""


def affinity(rows: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, npt.NDArray[np.float64]]:
    """The mean share, among somebody's films, of the genres that a film has."""
    shares = np.stack([rows[f"their_{genre}"] for genre in GENRES])
    has = np.nan_to_num(np.stack([rows[genre] for genre in GENRES]))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {"affinity": (shares * has).sum(axis=0) / has.sum(axis=0)}
