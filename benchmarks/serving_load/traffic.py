"""Made-up payments: rows to train on, and bodies to post."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.serving_load.plan import Template
from benchmarks.serving_load.system import KEYS, NUMBERS, WORDS

VOCABULARY = 3000
FEATURES = 5 * len(KEYS)
"""Supplied by the store; `features.py` declares them."""
ENTITIES = {"card": 20_000, "device": 20_000, "address": 20_000, "shop": 5_000}
"""How many pay. At a few thousand requests a second each has tens of events in a run."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """B payments: notes, dense inputs (B, 30) float32, labels (B,).

    dense: the event's numbers, then the store's features, some of them missing (NaN).
    """

    notes: list[str]
    dense: npt.NDArray[np.float32]
    labels: npt.NDArray[np.bool_]


def draw(count: int, *, seed: int) -> Rows:
    """`count` payments; the same seed draws the same."""
    random = np.random.default_rng(seed)
    # Word k is drawn about 1/k as often as the first, as in real texts.
    share = 1 / np.arange(1, VOCABULARY + 1)
    words = random.choice(VOCABULARY, size=(count, WORDS), p=share / share.sum())
    numbers = random.lognormal(1, 1, (count, len(NUMBERS)))
    features = random.lognormal(0, 1, (count, FEATURES))
    features[random.random(features.shape) < 0.05] = np.nan
    dense = np.round(np.concatenate([numbers, features], axis=1), 3).astype(np.float32)
    signal = (
        np.sin(words).sum(axis=1) / 3 + np.log(numbers[:, 0]) - 1
        + np.log1p(np.nan_to_num(features[:, 0])) - random.normal(0.7, 1, count)
    )
    return Rows(
        notes=[" ".join(f"w{word}" for word in row) for row in words],
        dense=dense, labels=signal > 0,
    )


def payments(rows: Rows) -> tuple[Template, ...]:
    """The bodies for our API, which reads the features itself, by keys that vary by event."""
    bodies = []
    for note, dense in zip(rows.notes, rows.dense, strict=True):
        numbers = zip(NUMBERS, dense[: len(NUMBERS)].tolist(), strict=True)
        event = {"note": note, **{key: f"{key}-<{key}>" for key in KEYS},
                 **{name: round(x, 3) for name, x in numbers}}
        bodies.append(Template(body=json.dumps({"event_id": "<id>", "event": event})))
    return tuple(bodies)


def vectors(rows: Rows) -> list[tuple[str, list[float | None]]]:
    """The same rows for a peer: the note and all thirty numbers; None is missing."""
    return [
        (note, [None if np.isnan(x) else float(x) for x in dense])
        for note, dense in zip(rows.notes, rows.dense, strict=True)
    ]
