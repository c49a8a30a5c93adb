"""A prediction explained: what was asked and seen, where the model came from, what was true."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import msgspec
import numpy as np

from ml_assets.core.errors import NotReady, UnknownName
from ml_assets.core.feedback import ANONYMOUS
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.ingest.labels import Known, known_of
from ml_assets.ingest.log.event_log import EventLog, Feedback, Prediction
from ml_assets.ingest.log.resolution import Hearing, Resolution, resolve
from ml_assets.serving.contract.protocol import (
    ContributingRow,
    ContributingRows,
    Decision,
    FeedbackAnswer,
    FeedbackEntry,
    ModelOrigin,
    OutcomeEntry,
    PredictionRecord,
)
from ml_assets.serving.contract.redaction import outward


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What was said about a prediction, what it comes to, and all that is known by now."""

    words: Sequence[Feedback]
    resolution: Resolution
    known: Sequence[Known]

    @classmethod
    def of(cls, system: System, log: EventLog, prediction: Prediction, now: datetime) -> Heard:
        """Read from the log. Raises LogUnavailable."""
        words = log.feedback_on(prediction.prediction_id)
        first_heard = log.first_heard(prediction.prediction_id) if words else {}
        resolution = resolve(words, system.feedback, first_heard)
        # A word may be dated a moment ahead of the clock; it is known all the same.
        until = max([now, *(word.received_at for word in words)])
        known = known_of(system.label, prediction, resolution.changes)
        return cls(words=words, resolution=resolution,
                   known=[each for each in known if each.known_at <= until])


def feedback_answer(
    system: System, about: Prediction, hearing: Hearing, said: Feedback, *, new: bool
) -> FeedbackAnswer:
    """What the source that has just `said` something about a prediction gets to know.

    hearing: of all words about it, the source's own too
    """
    # Between the first change and the last one there is nothing that is known now.
    changes = hearing.changes if len(hearing.changes) < 3 else [
        hearing.changes[0], hearing.changes[-1]]
    # A word may be dated a moment ahead of the clock; it is known all the same.
    until = max(said.received_at, hearing.latest or said.received_at)
    known = [each for each in known_of(system.label, about, changes) if each.known_at <= until]
    latest = known[-1] if known else None
    return FeedbackAnswer(
        accepted=True, new=new, counted=hearing.counts(said.source),
        label=latest.label if latest else None, basis=latest.basis if latest else None,
        says=hearing.says,
    )


def record_of(system: System, p: Prediction, heard: Heard) -> PredictionRecord:
    """What the event log knows of a prediction; `Provenance.explain` adds the rest."""
    def trust(source: str) -> str:
        found = system.feedback.class_of(source)
        return ANONYMOUS if found is None else found.name

    return PredictionRecord(
        prediction_id=p.prediction_id, system=p.system, event_id=p.event_id,
        event_timestamp=p.event_timestamp, accepted_at=p.accepted_at,
        request=msgspec.Raw(p.request.encode()), features_as_of=p.features_as_of,
        features={
            name: None if np.isnan(value) else float(value)
            for name, value in zip(p.feature_names, p.features, strict=True)
        },
        model_version=p.model_version, role=p.role, propensity=p.propensity,
        label_name=system.label.name, score=p.score, decision=p.decision, degraded=p.degraded,
        model=ModelOrigin(version=p.model_version, problem="not asked"), decision_behind=None,
        feedback=[
            FeedbackEntry(label=said.label, source=said.source, received_at=said.received_at,
                          trust=trust(said.source),
                          counted=said.source in heard.resolution.counted)
            for said in heard.words
        ],
        says=heard.resolution.says,
        outcomes=[OutcomeEntry(known_at=each.known_at, label=each.label, basis=each.basis)
                  for each in heard.known],
    )


class Provenance:
    """Where the predictions of one system came from, beyond the event log.

    Reads MLflow, the deployments and the lake: too slow for the thread that answers requests.
    One thread at a time. What MLflow says of a version is asked once.
    """

    def __init__(self, settings: Settings, system: System) -> None:
        self._settings, self._system = settings, system
        self._origins: dict[int, ModelOrigin] = {}

    def explain(self, record: PredictionRecord) -> PredictionRecord:
        """The record with the model's origin and the decision that put it in traffic.

        Where MLflow cannot be asked, the origin says so. Raises LogUnavailable where the
        deployments cannot be read.
        """
        return msgspec.structs.replace(
            record, model=self._origin(record.model_version),
            decision_behind=self._decision(record),
        )

    def rows(self, record: PredictionRecord) -> ContributingRows:
        """The rows of the lake that made the store features of the prediction.

        Empty for a degraded one: the store was not read.
        """
        from ml_assets.features.contributing import contributing_rows, looks_of, stretches_at
        from ml_assets.ingest.lake import Lake

        found: list[ContributingRow] = []
        if not record.degraded:
            event = self._system.source.parse(json.loads(bytes(record.request)))
            looks = looks_of(self._settings, self._system)
            stretches = stretches_at(looks, event, record.features_as_of,
                                     known_by=record.accepted_at)
            rows = contributing_rows(Lake(self._settings.lake), self._system, stretches)
            found = [
                ContributingRow(
                    view=row.view, table=row.table, key=dict(row.key), event_id=row.event_id,
                    event_timestamp=row.event_timestamp, known_at=row.known_at, label=row.label,
                )
                for row in rows
            ]
        return ContributingRows(
            prediction_id=record.prediction_id, features_as_of=record.features_as_of, rows=found
        )

    def _origin(self, version: int) -> ModelOrigin:
        from ml_assets.registry.origin import origin_of

        if version not in self._origins:
            try:
                origin = origin_of(self._settings, self._system.name, version)
            except (NotReady, UnknownName) as error:
                return ModelOrigin(version=version, problem=outward(str(error)))
            self._origins[version] = ModelOrigin(**asdict(origin))
        return self._origins[version]

    def _decision(self, record: PredictionRecord) -> Decision | None:
        from ml_assets.registry.origin import decision_behind

        found = decision_behind(self._settings, self._system.name, record.model_version,
                                record.role, record.accepted_at)
        return None if found is None else Decision(at=found.at, by=found.by, reason=found.reason)


def prediction_in(log: EventLog, system: System, prediction_id: str) -> Prediction:
    """The prediction of this id. Raises UnknownName where the system has made none such."""
    found = log.prediction(prediction_id)
    if found is None or found.system != system.name:
        raise UnknownName(
            f"system {system.name!r} has made no prediction {prediction_id!r}; use the "
            "`prediction_id` of an answer"
        )
    return found
