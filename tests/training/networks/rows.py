"""Made-up rows with every kind of input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml_assets.core.codes import code_of
from ml_assets.core.model import (
    Categories,
    Embedding,
    Minibatch,
    Model,
    Network,
    NextItem,
    Numbers,
    Sequence,
    SequenceRanker,
    Tabular,
    Text,
    Torch,
    TwoTower,
)
from ml_assets.training.rows.labelled import LabelledRows

FILMS = tuple(f"film {n}" for n in range(6))
FEATURES = ("amount", "age", "seen_1", "seen_2", "seen_3", "clicks_1", "clicks_2", "kind",
            "look_1", "look_2")
"""The first is a number of the event, and so is the vector `look`; the others are features."""
CODED = frozenset(FEATURES[2:8])
INPUTS = (
    Text("note", unit="words", length=6, ids=64), Numbers("amount"), Categories("film"),
    Categories("visitor", buckets=16), Sequence("seen", of="film"), Sequence("clicks", buckets=8),
    Embedding("look", size=2),
)
FEW = Minibatch(batch=64, epochs=2)
NETWORKS: dict[str, Network] = {
    "tabular": Tabular(hidden=16, blocks=1, pieces=4),
    "two towers": TwoTower(item=("film", "kind"), width=4, hidden=8, pieces=4),
    "sequence ranker": SequenceRanker(item="film", width=4, hidden=8, pieces=4),
    "next item": NextItem(item="film", context=("visitor", "age", "note", "clicks"), hidden=8),
    "own": Torch("tests.training.networks.own:Mixed", {"hidden": 8}),
}


@dataclass(frozen=True, kw_only=True)
class Made:
    """Texts and categories by column, dense (B, 10), the films' labels (B,)."""

    texts: dict[str, list[str]]
    dense: npt.NDArray[np.float32]
    codes: npt.NDArray[np.float64]

    @property
    def labelled(self) -> LabelledRows:
        return LabelledRows(texts=self.texts, dense=self.dense, codes=self.codes,
                            feature_names=FEATURES, coded=CODED)

    def some(self, rows: slice | list[int]) -> tuple[dict[str, list[str]],
                                                     npt.NDArray[np.float32]]:
        at = np.arange(len(self.dense))[rows]
        return {name: [each[i] for i in at] for name, each in self.texts.items()}, self.dense[at]


def made(count: int = 300, seed: int = 0) -> Made:
    """Who has seen a film lately takes it again; who pays much takes nothing."""
    draw = np.random.default_rng(seed)
    film = draw.integers(len(FILMS), size=count)
    seen = draw.integers(len(FILMS), size=(count, 3))
    dense = np.empty((count, len(FEATURES)), np.float32)
    dense[:, 0], dense[:, 1] = draw.lognormal(2, 1, count), draw.normal(40, 9, count)
    dense[:, 2:5] = np.array([code_of(each) for each in FILMS])[seen]
    dense[:, 5:7] = draw.integers(1, 9, (count, 2))
    dense[:, 7] = np.array([code_of("new"), code_of("old")])[draw.integers(2, size=count)]
    dense[:, 8:] = draw.normal(size=(count, 2))
    dense[draw.random(dense.shape) < 0.15] = np.nan
    odds = 2.0 * (seen == film[:, None]).any(1) - 0.1 * np.nan_to_num(dense[:, 0]) + 0.5
    words = np.array(["good", "bad", "late", "again", "never"])
    return Made(
        texts={"note": [" ".join(draw.choice(words, n)) for n in draw.integers(0, 9, count)],
               "film": [FILMS[each] for each in film],
               "visitor": [f"v{each}" for each in draw.integers(40, size=count)]},
        dense=dense, codes=(draw.random(count) < 1 / (1 + np.exp(-odds))).astype(float))


def model(network: Network) -> Model:
    return Model(inputs=INPUTS, network=network, fit=FEW)
