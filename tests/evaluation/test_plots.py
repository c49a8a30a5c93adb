"""The pictures can be drawn whatever the rows, and stay small."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ml_assets.evaluation import plots

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.random(500) < 0.3
SCORES = 1 / (1 + np.exp(-(GENERATOR.normal(size=500) + 4 * (LABELS - 0.5))))


@pytest.mark.parametrize("models", [
    {"version 1": SCORES},
    {"version 2 (candidate)": SCORES, "version 1 (champion)": np.sqrt(SCORES)},
])
def test_there_is_an_overview_and_its_four_panels(models: plots.Models) -> None:
    drawn = plots.figures(LABELS, models, "toy")
    assert list(drawn) == ["overview", "roc", "precision_recall", "calibration", "scores"]
    sizes = {name: Image.open(io.BytesIO(png)).size for name, png in drawn.items()}
    assert sizes["overview"] == (900, 700)
    assert {size for name, size in sizes.items() if name != "overview"} == {(450, 332)}
    assert max(map(len, drawn.values())) < 50_000


@pytest.mark.parametrize("rows", [0, 1, 20])
@pytest.mark.parametrize("value", [True, False])
def test_one_class_is_drawn_too(rows: int, value: bool) -> None:
    assert plots.figures(np.full(rows, value), {"version 1": SCORES[:rows]}, "toy")
