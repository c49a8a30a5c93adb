"""All answers of a system in one number: runs that print the same answered the same, to the bit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b

from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.served import Prediction, row_of

SIZE = 8
"""Bytes."""
EARLIEST, LATEST = (datetime(year, 1, 1, tzinfo=UTC) for year in (1900, 9000))


def answers_digest(log: EventLog, system: str) -> str:
    """Of each prediction: event, request, features with their names, version, scores, decision,
    role and propensity. Not the order in which they came, nor the instants and positions that
    depend on it.
    """
    return digest_of(log.predictions(system, EARLIEST, LATEST))


def digest_of(predictions: Iterable[Prediction]) -> str:
    total = 0
    for each in predictions:
        (identity, system, event_id, happened, _, request, _, features, names, version, score,
         decision, degraded, role, propensity, _, _, outputs, audit, _) = row_of(each, 0, None)
        said = (identity, system, event_id, happened, request, features, names, version, score,
                decision, degraded, role, propensity, outputs, audit)
        # A sum does not depend on the order.
        total += int.from_bytes(blake2b(repr(said).encode(), digest_size=SIZE).digest(), "big")
    return f"{total % 2 ** (8 * SIZE):0{2 * SIZE}x}"
