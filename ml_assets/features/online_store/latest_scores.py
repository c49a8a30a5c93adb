"""The view `<system>_scores` as the online store knows it. Imports no Feast, for serving."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from struct import Struct
from typing import Any, Literal

from ml_assets.core.errors import DeclarationError
from ml_assets.core.system import System
from ml_assets.core.target import Label
from ml_assets.features.engine.events import entity_key
from ml_assets.features.online_store.backend import Row
from ml_assets.features.online_store.versions import (
    SIZE,
    Column,
    PlainView,
    unpack_payload,
    versions_of,
)
from ml_assets.ingest.log.served import from_us, to_us

TABLE = "batch_predictions"
TIMESTAMP, CREATED = "event_timestamp", "scored_at"
"""The columns of the table that say which event is the later one, and which score of it."""
DECISIONS = {"bool": "Bool", "string": "String", "double": "Float64"}
"""Feast's type of decisions, by `Target.lake_type`."""
_NUMBERS = {bool: Struct("<Bd?q"), str: Struct("<Bdq"), float: Struct("<Bddq")}
"""No nulls, and the numbers among `columns_of` a type of decisions."""

Basis = Literal["batch", "prediction"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a model said of the event `event_id` of the entity `key`.

    scored_at: when it said so; basis: what made it say so
    """

    key: str
    score: float
    decision: Label
    model_version: int
    event_id: str
    event_timestamp: datetime
    scored_at: datetime
    basis: Basis


def name_of(system: str) -> str:
    return f"{system}_scores"


def columns_of(decision: str) -> tuple[Column, ...]:
    """What is kept of an entity. decision: Feast's type, one of `DECISIONS`"""
    return (Column("score", "Float64"), Column("decision", decision),
            Column("model_version", "Int64"), Column("event_id", "String"),
            Column("basis", "String"))


def scores_view(system: System) -> PlainView:
    """Raises DeclarationError where the system keeps no scores."""
    if system.scores_by is None:
        raise DeclarationError(
            f"System {system.name!r} declares no scores_by, so it keeps no scores; expected one "
            f"of its entities: {', '.join(system.keys) or 'it has none'}"
        )
    return PlainView(name=name_of(system.name), keys=(system.scores_by,),
                     columns=columns_of(DECISIONS[system.target.lake_type]))


def row_of(score: Score) -> Row | None:
    """A score as `Backend.put` takes it; None where its key is empty, which is nobody's."""
    entity = entity_key([score.key])
    if entity is None:
        return None
    return score_row(
        entity, to_us(score.event_timestamp), to_us(score.scored_at), score.score, score.decision,
        score.model_version, score.event_id, score.basis)


def score_row(
    entity: bytes, event_us: int, scored_us: int, score: float, decision: Label,
    model_version: int, event_id: str, basis: Basis = "prediction",
) -> Row:
    """The same of its parts, with instants in microseconds since 1970 UTC."""
    # As `versions.pack_payloads` packs columns, at a fifth of the time for a row.
    numbers, texts = _NUMBERS[type(decision)], [event_id, basis]
    if isinstance(decision, str):
        payload, texts = numbers.pack(0, score, model_version), [decision, *texts]
    else:
        payload = numbers.pack(0, score, decision, model_version)
    for text in map(str.encode, texts):
        payload += SIZE.pack(len(text)) + text
    return entity, event_us, scored_us, payload


def latest_of(view: PlainView, key: str, blob: bytes) -> Score:
    """What the store keeps of an entity, read back."""
    at, created, payload = versions_of(blob)[0]
    numbers, texts = unpack_payload(view, payload)
    values: dict[str, Any] = dict(zip((each.name for each in view.numbers), numbers, strict=True))
    values |= {each.name: (text or b"").decode()
               for each, text in zip(view.texts, texts, strict=True)}
    return Score(key=key, event_timestamp=from_us(at), scored_at=from_us(created), **values)
