"""Factors of films and viewers by the package implicit, in its environment: `factors KIND FILE`.

FILE (npz) holds `viewer` and `film` of each rating, from 0 on; beside it `<KIND>.npz` is written,
with `films` and `viewers`, 64 factors each (BPR adds one for a film's own value).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from implicit.als import AlternatingLeastSquares  # type: ignore[import-not-found]
from implicit.bpr import BayesianPersonalizedRanking  # type: ignore[import-not-found]
from scipy.sparse import csr_matrix

KINDS = {
    "als": lambda: AlternatingLeastSquares(
        factors=64, regularization=0.05, alpha=2.0, random_state=7, num_threads=1),
    "bpr": lambda: BayesianPersonalizedRanking(factors=64, random_state=7, num_threads=1),
}


def main(kind: str, file: str) -> None:
    given = np.load(file)
    there = csr_matrix((np.ones(len(given["film"]), np.float32), (given["viewer"], given["film"])))
    model = KINDS[kind]()
    model.fit(there, show_progress=False)
    np.savez(Path(file).with_name(f"{kind}.npz"), films=model.item_factors,
             viewers=model.user_factors)


if __name__ == "__main__":
    main(*sys.argv[1:])
