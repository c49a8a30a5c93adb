"""Made-up predictions, and what they count: four entities' windows, as in `streaming`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks.feature_store.streaming import ENTITIES, view_of
from ml_assets.features.online_store.following.counts import Stream
from ml_assets.ingest.log.event_log import PackedCounts, Prediction
from ml_assets.ingest.log.served import prediction_id

SYSTEM, FEATURES = "bench", 30
NAMES = tuple(f"f{number}" for number in range(FEATURES))
START = datetime(2026, 1, 1, tzinfo=UTC)
VIEWS = [view_of(entity) for entity in ENTITIES]


def batch(writer: int, number: int, size: int) -> tuple[list[Prediction], PackedCounts]:
    """What a writer logs at once: no two batches have an event in common."""
    draw = np.random.default_rng((writer, number))
    at = START + timedelta(milliseconds=number)
    stream, predictions, packed = Stream(VIEWS), [], []
    keys = {entity: draw.integers(0, many, size).tolist() for entity, many in ENTITIES.items()}
    for row in range(size):
        event_id = f"{writer}-{number}-{row}"
        event = {"event_id": event_id, "event_timestamp": at, "amount": float(row),
                 **{entity: f"{entity}-{keys[entity][row]}" for entity in ENTITIES}}
        packed.append(stream.list.pack(stream.counted(event)))
        predictions.append(Prediction(
            prediction_id=prediction_id(SYSTEM, event_id), system=SYSTEM, event_id=event_id,
            event_timestamp=at, accepted_at=at, features_as_of=at,
            request='{"note": "' + "word " * 20 + '"}', features=np.ones(FEATURES, np.float32),
            feature_names=NAMES, model_version=1, score=0.5, decision=True, state_seq=1))
    return predictions, PackedCounts(stream.list.id, stream.list.text, packed)


def batches(writer: int, count: int, size: int) -> Sequence[tuple[list[Prediction], PackedCounts]]:
    return [batch(writer, number, size) for number in range(count)]
