"""A column that is a list of numbers: declared, held to its length, read alike everywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ml_assets.core.data.columns import Column
from ml_assets.core.errors import DeclarationError, Quarantined
from ml_assets.core.model import Embedding, HashedText, Numbers, Tabular
from ml_assets.core.system import System
from ml_assets.features.training_sets.vectors import vectors_of
from ml_assets.ingest.contracts.stored import column_keeps
from ml_assets.ingest.contracts.values import taken
from ml_assets.serving.models.scoring import dense_vectors
from tests.trips import TRIPS

LOOK = Column(name="look", dtype="number", description="what it looks like", many=True, length=3,
              optional=True)
LOOKS: list[list[float] | None] = [[0.1, 2.0, -3.5], None, [1e-3, 7.0, 0.0]]


def looking(embedding: Embedding) -> System:
    streams = tuple(replace(each, columns=(*each.columns, LOOK)) if each.asked else each
                    for each in TRIPS.streams)
    numbers = tuple(each for each in TRIPS.model.inputs if isinstance(each, Numbers))
    return replace(TRIPS, streams=streams, model=replace(
        TRIPS.model, network=Tabular(), fit=None, inputs=(*numbers, embedding)))


def test_what_is_trained_on_is_what_is_scored() -> None:
    system = looking(Embedding("look", size=3))
    assert system.model.numbers[-3:] == ("look_1", "look_2", "look_3")
    events: list[dict[str, object]] = [
        {**dict.fromkeys(system.model.numbers, 1.0), "look": look} for look in LOOKS]
    served = dense_vectors(system, events, np.empty((3, 0), np.float32))
    [stored] = vectors_of(system.model, pd.DataFrame({"look": LOOKS}))
    assert list(stored.columns) == list(system.model.numbers[-3:])
    np.testing.assert_array_equal(served[:, -3:], stored.to_numpy())
    assert np.isnan(served[1, -3:]).all()


@pytest.mark.parametrize(("embedding", "says"), [
    (Embedding("lok", size=3), "names 'lok'; expected a column of numbers with many=True: look"),
    (Embedding("look", size=4), "size=4.*length=3; expected the same"),
])
def test_one_that_the_event_does_not_have_is_refused(embedding: Embedding, says: str) -> None:
    with pytest.raises(DeclarationError, match=says):
        looking(embedding)


def test_hashed_texts_read_no_vectors() -> None:
    with pytest.raises(DeclarationError, match="what HashedText can read"):
        replace(looking(Embedding("look", size=3)).model, network=HashedText(), fit=None)


@pytest.mark.parametrize("look", [*LOOKS, [1.0], [1.0, 2.0, 3.0, 4.0], []])
def test_a_list_of_another_length_is_refused_one_by_one_and_all_at_once(
    look: list[float] | None,
) -> None:
    fits = look is None or len(look) == 3
    held = pa.chunked_array([pa.array([look], pa.list_(pa.float64()))])
    assert column_keeps(LOOK, held, is_key=False) == fits
    if fits:
        assert taken(LOOK, look) == look
    else:
        with pytest.raises(Quarantined, match=f"look has {len(cast('list[float]', look))} values; "
                                              "expected 3"):
            taken(LOOK, look)


def test_a_length_needs_a_list() -> None:
    with pytest.raises(DeclarationError, match="length"):
        Column(name="look", dtype="number", description="one", length=3)
