"""What was shown and what was put together are two samples of the same choices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ml_assets.core.model import Categories, FullBatch, HashedText, Minibatch, Model, Tabular
from ml_assets.targets import Ranking
from ml_assets.training.fit import fit
from ml_assets.training.networks.shown import latest_of
from ml_assets.training.rows.labelled import LabelledRows

FILMS, PAGE, OTHERS = 40, 8, 4
NAMES = [f"film {number}" for number in range(FILMS)]
TARGET = Ranking(name="taken", item="film", page=PAGE)
APPEAL = np.geomspace(0.2, 0.002, FILMS)
"""With which probability each film is taken on a page, the best first."""
BATCHES = Minibatch(batch=256, epochs=12, patience=3, rate=5e-3)
MODELS = {
    "at once": Model(inputs=(Categories("film"),), network=HashedText(hidden=4, l2_dense=0.1)),
    "at once, exported": Model(inputs=(Categories("film"),), network=Tabular(blocks=0),
                               fit=FullBatch(iterations=60)),
    "in batches": Model(inputs=(Categories("film"),), network=Tabular(blocks=0),
                        fit=BATCHES),
}


def logged(pages: int, shown: int) -> LabelledRows:
    """Recorded pages, of each what was taken of all films, and a few others; then pages that were
    shown, each with the best films."""
    draw = np.random.default_rng(4)
    films, taken = list[int](), list[bool]()
    for _ in range(pages):
        chosen = draw.random(FILMS) < APPEAL
        others = draw.choice(np.flatnonzero(~chosen), OTHERS, replace=False)
        found = [*np.flatnonzero(chosen), *others]
        films, taken = films + found, taken + chosen[found].tolist()
    recorded = len(films)
    for _ in range(shown):
        films += range(PAGE)
        taken += (draw.random(PAGE) < APPEAL[:PAGE]).tolist()
    return LabelledRows(
        texts={"film": [NAMES[film] for film in films]}, feature_names=(),
        dense=np.empty((len(films), 0), np.float32), codes=TARGET.codes(taken),
        shown=np.arange(len(films)) >= recorded)


def in_order(model: Model, rows: LabelledRows) -> float:
    """How the order of all films goes with what they are worth (Spearman)."""
    scores = fit(model, TARGET, rows).scorer.outputs(
        {"film": NAMES}, np.empty((FILMS, 0), np.float32))[:, 0]
    return float(np.corrcoef(np.argsort(np.argsort(-scores)), np.arange(FILMS))[0, 1])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shown", [60, 600], ids=["a day of pages", "weeks of them"])
def test_pages_that_show_the_best_do_not_make_them_the_worst(name: str, shown: int) -> None:
    rows = logged(1_500, shown)
    assert rows.shown is not None
    recorded = rows.take(np.flatnonzero(~rows.shown))
    alone = in_order(MODELS[name], replace(recorded, shown=None))
    assert in_order(MODELS[name], rows) > alone - 0.03
    if shown == 600:
        assert in_order(MODELS[name], replace(rows, shown=None)) < alone - 0.05


@pytest.mark.slow
def test_two_devices_learn_the_same_difference() -> None:
    """Two processes on the CPU stand in for them."""
    rows, model = logged(1_500, 60), MODELS["in batches"]
    two = replace(model, fit=replace(BATCHES, device="cpu", devices=2))
    assert in_order(two, rows) > in_order(model, rows) - 0.03


def test_of_both_kinds_the_latest_choose_the_epochs() -> None:
    rows = logged(100, 50)
    assert rows.shown is not None
    begin = int(rows.shown.argmax())
    early, late = latest_of(rows, 0.1)
    assert early.weights is not None and late.weights is not None
    assert early.weights.sum() + late.weights.sum() == len(rows)
    assert late.weights.sum() == int(0.1 * begin) + int(0.1 * (len(rows) - begin))
    assert late.shown is not None
    assert late.shown[late.weights > 0].sum() == int(0.1 * (len(rows) - begin))


def test_a_margin_is_calibrated_on_recorded_slates() -> None:
    """The best films, which alone were shown, are not taken as seldom as on these pages."""
    model = replace(MODELS["at once, exported"], loss="squared_hinge")
    rows = logged(1_500, 600)
    assert rows.shown is not None
    recorded = rows.take(np.flatnonzero(~rows.shown))
    alone, mixed = (
        fit(model, TARGET, each).scorer.outputs({"film": NAMES}, np.empty((FILMS, 0), np.float32))
        for each in (replace(recorded, shown=None), rows))
    assert mixed[:PAGE].mean() == pytest.approx(alone[:PAGE].mean(), abs=0.05)
    assert rows.codes[rows.shown].mean() < alone[:PAGE].mean() - 0.2
