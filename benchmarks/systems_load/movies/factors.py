"""Vectors of films by the package implicit, in its environment: `factors KIND FILE`.

FILE (npz) holds `viewer` and `film` of each rating, from 0 on; beside it `<KIND>.npy` is written,
(films, factors). Standard values of the package, seeds 0 to 2 averaged as vectors side by side.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from implicit.als import AlternatingLeastSquares  # type: ignore[import-not-found]
from implicit.bpr import BayesianPersonalizedRanking  # type: ignore[import-not-found]
from scipy.sparse import csr_matrix

KINDS = {"als": lambda seed: AlternatingLeastSquares(
             factors=64, regularization=0.05, alpha=2.0, random_state=seed, num_threads=1),
         "bpr": lambda seed: BayesianPersonalizedRanking(
             factors=64, random_state=seed, num_threads=1)}


def main(kind: str, file: str) -> None:
    given = np.load(file)
    there = csr_matrix((np.ones(len(given["film"]), np.float32), (given["viewer"], given["film"])))
    vectors = []
    for seed in range(3):
        model = KINDS[kind](seed)
        model.fit(there, show_progress=False)
        found = np.asarray(model.item_factors, np.float64)
        vectors.append(found / np.linalg.norm(found, axis=1, keepdims=True).clip(1e-9))
    np.save(Path(file).with_name(f"{kind}.npy"), np.hstack(vectors))


if __name__ == "__main__":
    main(*sys.argv[1:])
