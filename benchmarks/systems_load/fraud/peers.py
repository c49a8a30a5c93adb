"""Peers on the same rows and, of each payment, the handbook's fifteen features.

They are fitted by `peer.py` in an environment of their own, with the handbook's settings.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.environments import Environment
from benchmarks.systems_load.fraud.protocol import judged, trained_on
from benchmarks.systems_load.fraud.vectors import Vectors
from ml_assets.core.errors import MlAssetsError
from ml_assets.core.target import Floats

FOLDER = Path(__file__).parent
FIFTEEN = ("amount", "on_weekend", "at_night", *(
    f"{name}_{days}d" for days in (1, 7, 30) for name in (
        "customer_count", "customer_mean", "terminal_known", "terminal_risk")))
GRADIENT_BOOSTING = Environment(
    name="gradient-boosting", requirements=FOLDER / "gradient-boosting.txt", with_torch=False,
    made_by="ml-assets bench systems --systems fraud")


class PeerFitFailed(MlAssetsError, RuntimeError):
    """A peer's process ended badly; the message ends with what it said."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """published: its average precision in the handbook, mean of four weeks
    proves: whether its figures must be the published ones
    environment: of its own, if scikit-learn alone does not do
    """

    name: str
    title: str
    published: float | None
    proves: bool = False
    environment: Environment | None = None


PEERS = (
    Peer(name="logistic", title="logistic regression", published=0.623, proves=True),
    Peer(name="forest", title="random forest", published=0.678),
    Peer(name="xgboost", title="XGBoost", published=0.687, environment=GRADIENT_BOOSTING),
    Peer(name="lightgbm", title="LightGBM", published=None, environment=GRADIENT_BOOSTING),
)


def scores_of(peer: Peer, rows: Vectors, week: date, *, create: bool) -> Floats:
    """(N,) of the rows that are judged. Raises NotInstalled, PeerFitFailed."""
    python = sys.executable if peer.environment is None \
        else str(peer.environment.programs(create=create) / "python")
    columns, fitted, asked = rows.columns(FIFTEEN), trained_on(rows, week), judged(rows, week)
    with TemporaryDirectory(prefix="ml-assets-bench-") as folder:
        path = Path(folder) / "rows.npz"
        np.savez(path, fitted=columns[fitted], labels=rows.is_fraud[fitted], asked=columns[asked])
        done = subprocess.run([python, str(FOLDER / "peer.py"), peer.name, str(path)],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PeerFitFailed(f"{peer.name} ended with status {done.returncode}:\n"
                                f"{done.stderr[-2000:]}")
        found: Floats = np.load(path.with_suffix(".npy"))
    return found
