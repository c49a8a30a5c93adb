"""Vectors, scores and the batch: one function for the API and for days."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from ml_assets.core.errors import ModelRefused
from ml_assets.core.settings import Settings
from ml_assets.core.target import Target
from ml_assets.ingest.events import parse_raw, raw_from_log
from ml_assets.ingest.lake import Lake
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.tables import batch_schema, predictions_schema
from ml_assets.serving.batch.tables import (
    agreement,
    batch_rows,
    score_events,
    served_rows,
)
from ml_assets.serving.models.scoring import dense_vectors, require_names
from ml_assets.targets import Binary, Classes, Number
from tests.serving.kit import NOON, FakeScorer, Toy, asked, serving
from tests.toy import TOY

BATCH_PREDICTIONS = batch_schema(TOY)
PREDICTIONS = predictions_schema(TOY)


def test_the_vector_is_numbers_then_features_in_float32() -> None:
    events = [{"amount": 0.1, "shop": "a", "note": ""}, {"amount": 2.0, "shop": "b", "note": ""}]
    dense = dense_vectors(TOY, events, np.array([[7], [np.nan]], np.float32))
    assert dense.dtype == np.float32
    assert dense[0].tolist() == [np.float32(0.1), 7]
    assert np.isnan(dense[1, 1])
    assert dense_vectors(TOY, [], np.empty((0, 1), np.float32)).shape == (0, 2)


@pytest.mark.parametrize(
    ("asked_names", "store", "says"),
    [
        (("amount", "refunds_7d"), ("returns_7d",), "refunds_7d, which serving does not have and "
         "not returns_7d"),
        (("amount",), ("returns_7d",), "not returns_7d, which serving has"),
        (("amount", "b", "a"), ("a", "b"), "in another order"),
        (("price", "returns_7d"), None, "price, which serving does not have"),
    ],
)
def test_a_model_of_other_features_is_refused_by_name(
    asked_names: tuple[str, ...], store: tuple[str, ...] | None, says: str
) -> None:
    with pytest.raises(ModelRefused, match=says):
        require_names(TOY, FakeScorer(feature_names=asked_names), store)


def test_a_model_of_undeclared_texts_is_refused() -> None:
    require_names(TOY, FakeScorer(), ("returns_7d",))
    require_names(TOY, FakeScorer(), None)
    with pytest.raises(ModelRefused, match="subject"):
        require_names(TOY, FakeScorer(texts=("subject",)), ("returns_7d",))


@pytest.mark.parametrize("other", [
    Classes(name="returned", classes=("no", "yes")),
    Number(name="returned", unit="EUR", tolerance=1),
])
def test_a_model_of_another_target_is_refused(other: Target) -> None:
    """A threshold may move after a training; what the outputs mean may not."""
    require_names(TOY, FakeScorer(target=Binary(name="returned", threshold=0.9)), None)
    with pytest.raises(ModelRefused, match=r"trained to predict .*train it again"):
        require_names(TOY, FakeScorer(target=other), None)


def test_a_batch_scores_what_the_api_answered_bit_by_bit(settings: Settings) -> None:
    """The law: for the same event and the same features, batch and API give one score."""
    toy = Toy(settings=settings)
    toy.deploy(1)
    amounts = np.random.default_rng(5).lognormal(2, 1, 60)
    with serving(toy) as api:
        for n, amount in enumerate(amounts):
            shop = ("corner", "unknown")[n % 2]
            toy.clock.set(NOON + timedelta(seconds=n))
            body = asked(f"e{n}", amount=float(amount), shop=shop, note="é" * (n % 7))
            assert api.post("/v1/toy/predict", json=body).status_code == 200
    log = EventLog(settings.event_log)
    accepted = list(log.predictions("toy", NOON, NOON + timedelta(days=1)))
    lake = Lake(settings.lake)
    lake.write("toy", "predictions", NOON.date(), served_rows(accepted), PREDICTIONS)
    served = lake.read("toy", "predictions", PREDICTIONS)

    events = parse_raw(TOY, raw_from_log(accepted)).events
    keys = events[["shop"]].to_dict("records")
    features, *_ = toy.features.read(keys, [NOON] * len(keys))  # type: ignore[arg-type]
    batch = batch_rows(TOY, FakeScorer(), 1, events, features, at=NOON)
    lake.write("toy", "batch_predictions", NOON.date(), batch, BATCH_PREDICTIONS)
    stored = lake.read("toy", "batch_predictions", BATCH_PREDICTIONS)
    assert stored["score"].tolist() == served["score"].tolist()
    assert stored["decision"].tolist() == served["decision"].tolist()
    assert agreement(stored, served).compared == 60
    assert agreement(stored, served).differing == 0

    shuffled = events.sample(frac=1, random_state=1)
    again = score_events(TOY, FakeScorer(), shuffled, features[shuffled.index])
    assert again.tolist() == batch["score"][shuffled.index].tolist()


def test_agreement_compares_only_what_had_the_same_version_and_features() -> None:
    def table(**columns: object) -> pd.DataFrame:
        return pd.DataFrame({"feature_names": [["a"]] * 4, **columns})

    nan = float("nan")
    batch = table(event_id=["w", "x", "y", "z"], model_version=[1, 1, 1, 1],
                  features=[[1.0], [nan], [3.0], [4.0]], score=[0.1, 0.2, 0.3, 0.4])
    served = table(event_id=["w", "x", "y", "z"], model_version=[1, 1, 1, 2],
                   features=[[1.0], [nan], [9.0], [4.0]], score=[0.1, 0.9, 0.9, 0.9])
    found = agreement(batch, served)
    assert (found.compared, found.differing) == (2, 1)


def test_an_empty_day_is_a_day() -> None:
    none = parse_raw(TOY, raw_from_log([])).events
    features = np.empty((0, 1), np.float32)
    assert score_events(TOY, FakeScorer(), none, features).shape == (0,)
    batch = batch_rows(TOY, FakeScorer(), 1, none, features, at=NOON)
    assert agreement(batch, served_rows([])).compared == 0
