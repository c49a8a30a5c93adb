"""The pictures of each kind can be drawn whatever the rows, and stay small."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ml_assets.core.target import Label, Target
from ml_assets.targets import Classes
from tests.targets.test_laws import about, drawn, each_target

PANELS = {  # by name or kind
    "wait": ["predicted", "residuals", "errors", "coverage"],
    "sales": ["predicted", "residuals", "errors", "coverage"],
    "binary": ["roc", "precision_recall", "calibration", "scores"],
    "classes": ["confusion", "recall", "calibration", "confidence"],
    "ranking": ["ranks", "recall", "calibration", "items"],
    "number": ["predicted", "residuals", "errors", "within"],
}


@each_target
@pytest.mark.parametrize("names", [("version 1",),
                                   ("version 2 (candidate)", "version 1 (champion)")])
def test_there_is_an_overview_and_its_four_panels(
    target: Target, labels: list[Label], names: tuple[str, ...]
) -> None:
    codes = target.codes([labels[place % len(labels)] for place in range(500)])
    models = {name: drawn(target, 500, seed) for seed, name in enumerate(names)}
    made = target.figures(codes, models, "toy", about(500, 1))
    assert list(made) == ["overview", *PANELS.get(target.name, PANELS[target.kind])]
    sizes = {name: Image.open(io.BytesIO(png)).size for name, png in made.items()}
    assert sizes["overview"] == (900, 700)
    assert {size for name, size in sizes.items() if name != "overview"} == {(450, 332)}
    assert max(map(len, made.values())) < 50_000


@each_target
@pytest.mark.parametrize("rows", [0, 1, 20])
def test_labels_that_are_all_the_same_are_drawn_too(
    target: Target, labels: list[Label], rows: int
) -> None:
    for label in labels[:2]:
        codes = target.codes([label] * rows)
        assert target.figures(
            codes, {"version 1": drawn(target, rows, 1)}, "toy", about(rows, 1))


def test_more_classes_than_a_panel_has_room_for_are_drawn_as_others() -> None:
    target = Classes(name="city", classes=tuple(f"a city with the number {n}" for n in range(30)))
    codes = np.arange(300.0) % 30
    assert target.figures(codes, {"version 1": drawn(target, 300, 1)}, "toy", about(300, 1))
