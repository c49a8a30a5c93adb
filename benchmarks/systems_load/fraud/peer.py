"""`python peer.py NAME ROWS.npz`: fit a peer and leave its scores beside the rows. No ml_assets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np


def model(name: str) -> Any:
    """With the settings of the handbook; LightGBM with its own defaults."""
    if name == "xgboost":
        from xgboost import XGBClassifier  # type: ignore[import-not-found]

        return XGBClassifier(random_state=0, n_jobs=1, base_score=0.5)
    if name == "lightgbm":
        from lightgbm import LGBMClassifier  # type: ignore[import-not-found]

        return LGBMClassifier(random_state=0, n_jobs=1, verbose=-1)
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "forest":
        return RandomForestClassifier(random_state=0, n_jobs=1)
    return make_pipeline(StandardScaler(), LogisticRegression(random_state=0, max_iter=1000))


def main(name: str, path: Path) -> None:
    with np.load(path) as rows:
        fitted = model(name).fit(rows["fitted"], rows["labels"])
        np.save(path.with_suffix(".npy"), fitted.predict_proba(rows["asked"])[:, 1])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
