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

from ml_assets.core.target import Label

COLUMNS = ("prediction_id, system, event_id, event_timestamp, accepted_at, request, features_as_of,"
           " features, feature_names, model_version, score, decision, degraded, role, propensity,"
           " state_seq, seq, outputs, audit, counts")
"""Of the table `predictions`, in the order of `row_of`."""
READ = COLUMNS.removesuffix(", counts").replace(
    "feature_names", "coalesce((select names from feature_lists where list_id = feature_names),"
    " feature_names)")
"""As `prediction_of` takes it."""

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
    seq: the position at which its event counts in the online state; None if it is not logged yet,
    or of before there were positions
    outputs: the model's W numbers; empty if there is only one, which is the score
    audit: how probable it was that its truth is asked for; None if it is not
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
    decision: Label
    degraded: bool = False
    role: AnsweringRole = "champion"
    propensity: float = 1.0
    state_seq: int | None = None
    seq: int | None = None
    outputs: tuple[float, ...] = ()
    audit: float | None = None


class ShadowScore(Struct, frozen=True, kw_only=True, gc=False):
    """What a version that answers nobody would have said of one prediction's event.

    It saw the very features of the prediction. scored_at: after the answer, on the log's clock.
    """

    prediction_id: str
    model_version: int
    score: float
    scored_at: datetime
    outputs: tuple[float, ...] = ()


class Feedback(Struct, frozen=True, kw_only=True, gc=False):
    """What one source says about one prediction."""

    prediction_id: str
    system: str
    label: Label
    source: str
    received_at: datetime


def to_us(instant: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exact."""
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_us(us: int) -> datetime:
    """The inverse of `to_us`."""
    return _EPOCH + timedelta(microseconds=us)


def stored_label(label: Label) -> str:
    """A label as a column holds it, whatever it is of.

    SQLite has columns of whole numbers for them, and keeps "1" and "0" as such. The mark keeps it
    from taking the text "01" or 37.0 for one.
    """
    if isinstance(label, bool):
        return "1" if label else "0"
    return f"={label}" if isinstance(label, str) else f"~{label!r}"


def restored_label(stored: object) -> Label:
    """The inverse of `stored_label`."""
    if not isinstance(stored, str) or stored in ("0", "1"):
        return bool(int(str(stored)))
    return stored[1:] if stored[0] == "=" else float(stored[1:])


def stored_outputs(outputs: tuple[float, ...]) -> bytes | None:
    """A model's W numbers as a column holds them: float64, little endian; nothing if none."""
    return np.asarray(outputs, "<f8").tobytes() if outputs else None


def restored_outputs(stored: object) -> tuple[float, ...]:
    """The inverse of `stored_outputs`."""
    if stored is None:
        return ()
    found = np.frombuffer(bytes(stored), dtype="<f8")  # type: ignore[call-overload]
    return tuple(found.tolist())


@lru_cache(maxsize=1024)  # asked for when a request comes and when it is answered
def prediction_id(system: str, event_id: str) -> str:
    """One for each event: whoever answers it first, the id is the same, and the log finds it."""
    return blake2b(f"{system}\0{event_id}".encode(), digest_size=12).hexdigest()


def row_of(p: Prediction, seq: int, counts: bytes | None) -> tuple[object, ...]:
    """The columns of the table `predictions`, in order. seq: the position that it is given"""
    return (
        p.prediction_id, p.system, p.event_id, to_us(p.event_timestamp), to_us(p.accepted_at),
        p.request, to_us(p.features_as_of), p.features.astype(_STORED, copy=False).tobytes(),
        list_of(p.feature_names)[0], p.model_version, p.score, stored_label(p.decision),
        p.degraded, p.role, p.propensity, p.state_seq, seq, stored_outputs(p.outputs),
        p.audit, counts,
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
        prediction_id=str(prediction_id), system=str(system), label=restored_label(label),
        source=str(source), received_at=from_us(int(str(received_at))),
    )


def shadow_score_of(row: tuple[object, ...]) -> ShadowScore:
    """From (prediction_id, model_version, score, scored_at, outputs)."""
    prediction_id, model_version, score, scored_at, outputs = row
    return ShadowScore(
        prediction_id=str(prediction_id), model_version=int(str(model_version)),
        score=float(str(score)), scored_at=from_us(int(str(scored_at))),
        outputs=restored_outputs(outputs),
    )


def prediction_of(row: tuple[object, ...]) -> Prediction:
    """The inverse of `row_of`."""
    (prediction_id, system, event_id, event_timestamp, accepted_at, request, features_as_of,
     features, feature_names, model_version, score, decision, degraded, role, propensity,
     state_seq, seq, outputs, audit) = row
    return Prediction(
        prediction_id=str(prediction_id), system=str(system), event_id=str(event_id),
        event_timestamp=from_us(int(str(event_timestamp))),
        accepted_at=from_us(int(str(accepted_at))), request=str(request),
        features_as_of=from_us(int(str(features_as_of))),
        features=np.frombuffer(bytes(features), dtype="<f4"),  # type: ignore[call-overload]
        feature_names=_names(str(feature_names)),
        model_version=int(str(model_version)), score=float(str(score)),
        decision=restored_label(decision), degraded=bool(degraded), role=cast(AnsweringRole, role),
        propensity=float(str(propensity)), state_seq=_whole(state_seq), seq=_whole(seq),
        outputs=restored_outputs(outputs), audit=None if audit is None else float(str(audit)),
    )


def _whole(value: object) -> int | None:
    return None if value is None else int(str(value))
