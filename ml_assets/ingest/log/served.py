"""One answer, one word of feedback, one shadow's score: as values, and as rows of the log."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
from msgspec import Struct

COLUMNS = ("prediction_id, system, event_id, event_timestamp, accepted_at, request, features_as_of,"
           " features, feature_names, model_version, score, decision, degraded, role, propensity,"
           " state_seq, seq")
"""Of the table `predictions`, in the order of `row_of`."""
READ = COLUMNS.replace("feature_names", "coalesce((select names from feature_lists"
                       " where list_id = feature_names), feature_names)")
"""The same, as `prediction_of` takes it."""

_STORED = np.dtype("<f4")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

AnsweringRole = Literal["champion", "challenger"]


class Prediction(Struct, frozen=True, kw_only=True, gc=False):
    """One answer, with all that is needed to explain and to recompute it.

    features: (F,) float32, in the order of `feature_names`: event numbers, then store features.
    features_as_of: the instant whose state of the feature store was read.
    role: of `model_version` when it answered; propensity: how probable it was, before the event's
    key was known, that this version would answer.
    state_seq: the log's position that the features were read at, see `positions`; None if they
    are defaults, or of before there were positions
    seq: the position at which its event counts in the state; None if it is not logged yet, or if
    the state learns of the event from the lake
    """

    prediction_id: str
    system: str
    event_id: str
    event_timestamp: datetime
    accepted_at: datetime
    request: str
    features_as_of: datetime
    features: npt.NDArray[np.float32]
    feature_names: tuple[str, ...]
    model_version: int
    score: float
    decision: bool
    degraded: bool = False
    role: AnsweringRole = "champion"
    propensity: float = 1.0
    state_seq: int | None = None
    seq: int | None = None


class ShadowScore(Struct, frozen=True, kw_only=True, gc=False):
    """What a version that answers nobody would have said of one prediction's event.

    It saw the very features of the prediction. scored_at: after the answer, on the log's clock.
    """

    prediction_id: str
    model_version: int
    score: float
    scored_at: datetime


class Feedback(Struct, frozen=True, kw_only=True, gc=False):
    """What one source says about one prediction."""

    prediction_id: str
    system: str
    label: bool
    source: str
    received_at: datetime


def to_us(instant: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exact."""
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_us(us: int) -> datetime:
    """The inverse of `to_us`."""
    return _EPOCH + timedelta(microseconds=us)


@lru_cache(maxsize=1024)  # asked for when a request comes and when it is answered
def prediction_id(system: str, event_id: str) -> str:
    """One for each event: whoever answers it first, the id is the same, and the log finds it."""
    return blake2b(f"{system}\0{event_id}".encode(), digest_size=12).hexdigest()


def row_of(p: Prediction, seq: int | None) -> tuple[object, ...]:
    """The columns of the table `predictions`, in order. seq: the position that it is given"""
    return (
        p.prediction_id, p.system, p.event_id, to_us(p.event_timestamp), to_us(p.accepted_at),
        p.request, to_us(p.features_as_of), p.features.astype(_STORED, copy=False).tobytes(),
        list_of(p.feature_names)[0], p.model_version, p.score, p.decision, p.degraded, p.role,
        p.propensity, p.state_seq, seq,
    )


@lru_cache(maxsize=16)
def list_of(names: tuple[str, ...]) -> tuple[str, str]:
    """A row of the table `feature_lists`, which has the names once for all predictions."""
    text = json.dumps(names)
    return blake2b(text.encode(), digest_size=8).hexdigest(), text


@lru_cache(maxsize=16)
def _names(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def feedback_of(row: tuple[object, ...]) -> Feedback:
    """From (prediction_id, system, label, source, received_at)."""
    prediction_id, system, label, source, received_at = row
    return Feedback(
        prediction_id=str(prediction_id), system=str(system), label=bool(label),
        source=str(source), received_at=from_us(int(str(received_at))),
    )


def shadow_score_of(row: tuple[object, ...]) -> ShadowScore:
    """From (prediction_id, model_version, score, scored_at)."""
    prediction_id, model_version, score, scored_at = row
    return ShadowScore(
        prediction_id=str(prediction_id), model_version=int(str(model_version)),
        score=float(str(score)), scored_at=from_us(int(str(scored_at))),
    )


def prediction_of(row: tuple[object, ...]) -> Prediction:
    """The inverse of `row_of`."""
    (prediction_id, system, event_id, event_timestamp, accepted_at, request, features_as_of,
     features, feature_names, model_version, score, decision, degraded, role, propensity,
     state_seq, seq) = row
    return Prediction(
        prediction_id=str(prediction_id), system=str(system), event_id=str(event_id),
        event_timestamp=from_us(int(str(event_timestamp))),
        accepted_at=from_us(int(str(accepted_at))), request=str(request),
        features_as_of=from_us(int(str(features_as_of))),
        features=np.frombuffer(bytes(features), dtype="<f4"),  # type: ignore[call-overload]
        feature_names=_names(str(feature_names)),
        model_version=int(str(model_version)), score=float(str(score)),
        decision=bool(decision), degraded=bool(degraded), role=cast(AnsweringRole, role),
        propensity=float(str(propensity)), state_seq=_whole(state_seq), seq=_whole(seq),
    )


def _whole(value: object) -> int | None:
    return None if value is None else int(str(value))
