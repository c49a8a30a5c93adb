"""A prediction explained: what was asked and seen, where the model came from, what was true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ml_assets.core.errors import NotReady, UnknownName
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.ingest.contracts.rows import read_event
from ml_assets.ingest.labels import Known, known_of
from ml_assets.ingest.log.event_log import EventLog, Feedback, Prediction
from ml_assets.ingest.log.resolution import Resolution, resolve
from ml_assets.registry.deployments import Deployment

if TYPE_CHECKING:
    # Imported by the calls that need them: they bring MLflow and the lake.
    from ml_assets.features.contributing import Row
    from ml_assets.registry.origin import Origin


@dataclass(frozen=True, kw_only=True)
class Heard:
    """The feedback on a prediction, what it comes to, and all that is known by now."""

    words: Sequence[Feedback]
    resolution: Resolution
    known: Sequence[Known]

    @classmethod
    def of(cls, system: System, log: EventLog, prediction: Prediction, now: datetime) -> Heard:
        """Read from the log. Raises LogUnavailable."""
        words = log.feedback.on(prediction.prediction_id)
        first_heard = log.feedback.first_heard(prediction.prediction_id) if words else {}
        resolution = resolve(words, system.feedback, first_heard)
        # Feedback may be dated a moment ahead of the clock; it is known all the same.
        until = max([now, *(word.received_at for word in words)])
        known = known_of(system.truth, prediction, resolution.changes)
        return cls(words=words, resolution=resolution,
                   known=[each for each in known if each.known_at <= until])


@dataclass(frozen=True, kw_only=True)
class UnknownOrigin:
    """A model version whose origin cannot be told, and why."""

    version: int
    problem: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Everything that is known about one prediction.

    origin: of the model version that answered
    decision: what had put this version in traffic; None if nothing had when it answered
    """

    prediction: Prediction
    heard: Heard
    origin: Origin | UnknownOrigin
    decision: Deployment | None


class Provenance:
    """Where the predictions of one system came from, beyond the event log.

    Reads MLflow, the deployments and the lake: too slow for the thread that answers requests.
    One thread at a time. MLflow is asked about each version once.
    """

    def __init__(self, settings: Settings, system: System) -> None:
        self._settings, self._system = settings, system
        self._origins: dict[int, Origin] = {}

    def explain(self, prediction: Prediction, heard: Heard) -> Explanation:
        """With the model's origin and the decision that put it in traffic.

        If MLflow cannot be asked, the origin says so. Raises LogUnavailable if the deployments
        cannot be read.
        """
        from ml_assets.registry.origin import decision_behind

        return Explanation(
            prediction=prediction, heard=heard, origin=self._origin(prediction.model_version),
            decision=decision_behind(
                self._settings, self._system.name, prediction.model_version, prediction.role,
                prediction.accepted_at),
        )

    def rows(self, prediction: Prediction) -> Sequence[Row]:
        """The rows of the lake, and of the log behind it, that made the store features of the
        prediction.

        Empty for a degraded one: the store was not read. Raises LogUnavailable.
        """
        from ml_assets.features.contributing import contributing_rows, looks_of, stretches_at
        from ml_assets.ingest.lake import Lake

        if prediction.degraded:
            return []
        event = read_event(self._system, prediction.request)
        looks = looks_of(self._settings, self._system)
        stretches = stretches_at(looks, event, prediction.features_as_of,
                                 known_by=prediction.accepted_at)
        with closing(EventLog(self._settings.event_log)) as log:
            return contributing_rows(Lake(self._settings.lake), stretches, log)

    def texts(self, prediction: Prediction) -> Mapping[str, str]:
        """Of its features that are codes of texts the text, by the feature's name."""
        from ml_assets.serving.answer.coded_texts import texts_behind

        if prediction.degraded:
            return {}
        with closing(EventLog(self._settings.event_log)) as log:
            return texts_behind(
                self._settings, self._system, log, read_event(self._system, prediction.request),
                prediction.features_as_of, prediction.accepted_at,
                dict(zip(prediction.feature_names, prediction.features.tolist(), strict=True)))

    def _origin(self, version: int) -> Origin | UnknownOrigin:
        from ml_assets.registry.origin import origin_of

        if version not in self._origins:
            try:
                self._origins[version] = origin_of(self._settings, self._system.name, version)
            except (NotReady, UnknownName) as error:
                return UnknownOrigin(version=version, problem=str(error))
        return self._origins[version]


def prediction_in(log: EventLog, system: System, prediction_id: str) -> Prediction:
    """The prediction of this id. Raises UnknownName if the system has made none such."""
    prediction = log.prediction(prediction_id)
    if prediction is None or prediction.system != system.name:
        raise UnknownName(
            f"system {system.name!r} has made no prediction {prediction_id!r}; use the "
            "`prediction_id` of an answer"
        )
    return prediction
