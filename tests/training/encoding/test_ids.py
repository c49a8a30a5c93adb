"""Integers that are ids: categories that have the rows of features that hold them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ml_assets.core.model import Categories, Minibatch, Model, Sequence, SequenceRanker
from ml_assets.targets import Binary
from ml_assets.training.artifact import load, save
from ml_assets.training.encoding.learning import learnt
from ml_assets.training.fit import fit
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.rows.reading import rows_of
from tests.made_sets import stored
from tests.training.rows.killed import set_of
from tests.trips import TRIPS

MODEL = Model(inputs=(Categories("film"), Sequence("seen", of="film")),
              network=SequenceRanker(item="film", width=4, hidden=8, pieces=2),
              fit=Minibatch(batch=32, epochs=2))


def rows(count: int = 120) -> LabelledRows:
    draw = np.random.default_rng(0)
    film, seen = draw.integers(1, 7, count), draw.integers(1, 7, (count, 2)).astype(np.float32)
    seen[draw.random(seen.shape) < 0.2] = np.nan
    return LabelledRows(
        texts={"film": [str(each) for each in film]}, dense=seen,
        codes=(seen == film[:, None]).any(1).astype(float), ids=frozenset({"film"}),
        feature_names=("seen_1", "seen_2"), coded=frozenset({"seen_1", "seen_2"}))


def test_an_id_and_a_feature_that_is_this_id_have_the_same_row() -> None:
    given = rows()
    arrays = learnt(MODEL, given, given)(given.texts, given.dense)
    film, seen = arrays["categories"][:, 0], arrays["seen"]
    same = given.dense == np.array([float(each) for each in given.texts["film"]])[:, None]
    assert ((film[:, None] == seen) == same).all() and film.min() > 0
    others = learnt(MODEL, given, given)({"film": ["", "9", "all", "3.0"]}, given.dense[:4])
    assert others["categories"][:3, 0].tolist() == [0, 0, 0]
    assert others["categories"][3, 0] == film[given.texts["film"].index("3")]


def test_a_model_of_ids_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    given = rows()
    fitted = fit(MODEL, Binary(name="taken"), given)
    save(fitted.scorer, tmp_path, texts={"film": given.texts["film"][:3]}, dense=given.dense[:3])
    assert load(tmp_path).outputs(given.texts, given.dense).tolist() == \
        fitted.scorer.outputs(given.texts, given.dense).tolist()


def test_the_type_of_a_stored_column_says_that_it_holds_ids() -> None:
    """Also if some are missing."""
    made = set_of(TRIPS)
    zone = pd.array([None if at % 9 == 0 else at % 4 for at in range(len(made.rows))], "Int64")
    data = replace(made, path=stored(made.rows.assign(zone=zone)))
    system = replace(TRIPS, model=replace(TRIPS.model, inputs=(Categories("zone"),)))
    found = rows_of(system, data, "train").whole()
    assert found.ids == {"zone"} and found.texts["zone"][:5] == ["", "1", "2", "3", "0"]
