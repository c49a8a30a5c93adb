"""What models that answered nobody would have answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from ml_assets.core.storage.database import insertion
from ml_assets.ingest.log.served import ShadowScore, shadow_score_of, stored_outputs, to_us
from ml_assets.ingest.log.storage.log_storage import LogStorage

COLUMNS = "prediction_id, model_version, score, scored_at, outputs"


class ShadowLog:
    """The scores of shadows, in the file of the event log."""

    def __init__(self, file: LogStorage) -> None:
        self._file, self._db = file, file.connection

    def add(self, scores: Sequence[ShadowScore]) -> None:
        """Store them in one transaction; what is there of a prediction and a version stays.

        The predictions must be in the log.
        """
        with self._file.writing():
            rows = [(s.prediction_id, s.model_version, s.score, to_us(s.scored_at),
                     stored_outputs(s.outputs)) for s in scores]
            if not self._file.insert("shadow_scores", COLUMNS, rows):
                self._db.executemany(insertion("shadow_scores", COLUMNS), rows)

    def between(self, system: str, start: datetime, end: datetime) -> Iterator[ShadowScore]:
        """Those of predictions accepted in `[start, end)`, in that order, then by version."""
        return map(shadow_score_of, self._file.read(
            "select s.prediction_id, s.model_version, s.score, s.scored_at, s.outputs"
            " from predictions p join shadow_scores s using (prediction_id)"
            " where p.system = ? and p.accepted_at >= ? and p.accepted_at < ?"
            " order by p.accepted_at, p.event_id, s.model_version",
            system, to_us(start), to_us(end),
        ))

    def on(self, prediction_id: str) -> list[ShadowScore]:
        """What shadows would have said of one prediction, by version."""
        return list(map(shadow_score_of, self._file.read(
            "select prediction_id, model_version, score, scored_at, outputs from shadow_scores"
            " where prediction_id = ? order by model_version", prediction_id,
        )))
