"""One system as it is served: bodies in, answers out, one call at a time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from time import monotonic
from typing import TypeVar

import msgspec

from ml_assets.core.errors import LogBusy, LogUnavailable, NotReady
from ml_assets.core.runtime.hybrid_clock import HybridClock
from ml_assets.core.runtime.isolation import isolate_in_batch
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import SameFile
from ml_assets.core.system import System
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.patience import Patience
from ml_assets.serving.access.tokens import Token
from ml_assets.serving.answer.backends import Backends
from ml_assets.serving.answer.counters import Tally
from ml_assets.serving.answer.explanation import Provenance
from ml_assets.serving.answer.features import FeatureLookup
from ml_assets.serving.answer.freshness import Freshness
from ml_assets.serving.answer.latest_scores import OnlineScores
from ml_assets.serving.answer.predictor import Predictor
from ml_assets.serving.contract.decoding import RequestRefused, decode, decode_batch, decode_each
from ml_assets.serving.contract.fault_log import note_error
from ml_assets.serving.contract.protocol import (
    ChallengerEntry,
    ContributingRows,
    Counts,
    DeploymentEntry,
    FeedbackAnswer,
    FeedbackRequest,
    PredictAnswer,
    PredictBatchAnswer,
    PredictBatchRequest,
    PredictionRecord,
    PredictRequest,
    ProblemAnswer,
    RefusedModel,
    ScoreAnswer,
    ServingModel,
    VersionAnswer,
)
from ml_assets.serving.contract.redaction import outward
from ml_assets.serving.contract.responses import refusal_of
from ml_assets.serving.models.pool import ModelPool
from ml_assets.serving.models.scoring import Scorer, require_names

log = logging.getLogger(__name__)

FAREWELL_SECONDS = 1.0
LOG_PATIENCE_S = 2.0
"""How long a request waits for another writer of the log before it is answered with 503."""


def log_patience() -> Patience:
    """What the systems of an API have together: they write the same file on the same thread."""
    return Patience(LOG_PATIENCE_S)


T = TypeVar("T")

_ONE = msgspec.json.Decoder(PredictRequest)
_MANY = msgspec.json.Decoder(PredictBatchRequest)
_FEEDBACK = msgspec.json.Decoder(FeedbackRequest)


class Service:
    """The API's calls for one system.

    One at a time, except `version`, and except `explain` and `rows`, which take their time
    and have a thread of their own.
    """

    def __init__(
        self, system: System, settings: Settings, backends: Backends, lines: SparseLog,
        patience: Patience,
    ) -> None:
        """lines: where refusals and faults are logged. patience: of all systems, see below"""
        def now() -> datetime:
            return settings.clock.now()

        def load(version: int) -> Scorer:
            scorer = backends.model(system, version)
            require_names(system, scorer, self._features.names)
            return scorer

        self.system = system
        self._now, self._ack, self._lines = now, settings.ack, lines
        self.freshness = Freshness(settings, system)
        self._provenance = Provenance(settings, system)
        self._features = FeatureLookup(
            system, lambda connection: backends.features(system, connection),
            lambda: self._predictor.connection, lines=lines,
        )
        self._models = ModelPool(
            system.name, SameFile(settings.deployments).watched(backends.deployments), load, now
        )
        self._scores = OnlineScores(settings, system, patience=patience)
        self._predictor = Predictor(
            system, features=self._features, models=self._models, scores=self._scores,
            # A replay sets its own clock.
            clock=HybridClock(now, paced=lambda: not settings.clock_file.exists()),
            open_log=SameFile(settings.event_log).watched(lambda: EventLog(
                settings.event_log, patience=patience, ack=settings.ack
            )),
            lines=lines,
        )

    def open(self) -> None:
        """Open the stores, load the deployed model and follow the deployments from now on."""
        self._features.check(self._now())
        self._models.refresh()
        self._models.start()

    def close(self) -> None:
        """Stop following, give the shadows a last second, close the log."""
        self._models.stop()
        ends = monotonic() + FAREWELL_SECONDS
        while self.unshadowed and monotonic() < ends:
            self.shadow()
        self._features.close()
        self._predictor.close()

    def predict_together(
        self, bodies: Sequence[bytes], *, waits: bool = True
    ) -> list[PredictAnswer | Exception]:
        """Requests that came one by one, answered as one batch; each its answer or its error.

        Raises NotReady or LogUnavailable, for all.

        waits: for another process that is writing the log; else LogBusy is raised
        """
        requests = decode_each(_ONE, bodies)
        return self._answered(requests, waits=waits)

    def settle(self) -> None:
        """Tidy up behind the answers, where it is time for that; for after each batch."""
        self._predictor.settle()

    def predict_batch(self, body: bytes) -> PredictBatchAnswer:
        """Raises RequestRefused, NotReady or LogUnavailable, for the batch as a whole."""
        answers = self._answered(decode_batch(_MANY, _ONE, body))
        return PredictBatchAnswer(predictions=[
            self._problem(answer) if isinstance(answer, Exception) else answer
            for answer in answers
        ])

    def _answered(
        self, requests: Sequence[PredictRequest | Exception], *, waits: bool = True
    ) -> list[PredictAnswer | Exception]:
        """All in one transaction; whichever breaks it, by a fault of the model, fails alone."""
        return self._logged(lambda: isolate_in_batch(
            lambda some: self._predictor.predict(some, waits=waits), requests,
            everyones=(LogUnavailable, NotReady),
        ))

    def _problem(self, error: Exception) -> ProblemAnswer:
        note_error(self._lines, error, f"an event of a batch for {self.system.name}")
        return ProblemAnswer(error=refusal_of(error).problem)

    def add_feedback(self, body: bytes, bearer: Token | None = None) -> FeedbackAnswer:
        """Raises RequestRefused, UnknownName, TooOften or LogUnavailable.

        bearer: who says so; only a token that was made for a trusted source speaks as it
        """
        said = decode(_FEEDBACK, body)
        if bearer is not None:
            self._require_own(bearer, said.source)
        return self._logged(lambda: self._predictor.add_feedback(said))

    def _require_own(self, bearer: Token, source: str) -> None:
        trust = self.system.feedback.class_of(source)
        if trust is not None and not bearer.may_speak_as(source):
            raise RequestRefused(
                403, "source_not_yours", f"{source!r} is a trusted source ({trust.name}) and token "
                f"{bearer.name!r} was not made for it: `ml-assets token create NAME --scope "
                f"feedback --source {source}`", "source",
            )

    @property
    def tally(self) -> Tally:
        """What was answered, for `/metrics`. On any thread."""
        return self._predictor.tally

    @property
    def clock(self) -> HybridClock:
        """What gives the log its instants. To be read on any thread."""
        return self._predictor.instants.clock

    @property
    def counts(self) -> Counter[str]:
        """By the names of `protocol.Counts`. On any thread."""
        return self._predictor.counts

    @property
    def unshadowed(self) -> int:
        """How many answers wait for a `shadow` turn. On any thread."""
        return len(self._predictor.shadows)

    def shadow(self) -> None:
        """Let the shadows score some of what was answered.

        For moments when no request waits. What cannot be logged is lost and counted.
        """
        try:
            self._logged(self._predictor.shadow)
        except LogUnavailable as error:
            self._lines.say(log, logging.WARNING, (self.system.name, "shadow scores are lost"),
                            "%s: shadow scores are lost: %s", self.system.name, error)

    def score(self, key: str) -> ScoreAnswer:
        """The latest score of an entity. Raises as `OnlineScores.read`."""
        return ScoreAnswer(**vars(self._scores.read(key)))

    def record(self, prediction_id: str) -> PredictionRecord:
        """Raises UnknownName or LogUnavailable."""
        return self._logged(lambda: self._predictor.record(prediction_id))

    def explain(self, record: PredictionRecord) -> PredictionRecord:
        """With where the model came from and who put it in traffic. Raises LogUnavailable."""
        return self._provenance.explain(record)

    def rows(self, record: PredictionRecord) -> ContributingRows:
        """The rows of the lake that made the prediction's features."""
        return self._provenance.rows(record)

    def problems(self) -> list[str]:
        """Why full answers cannot be given now; empty where they can."""
        return [f"{self.system.name}: {problem}" for problem in self._predictor.problems()]

    def warnings(self) -> list[str]:
        """What needs a look though answers are given: a refused version, degraded answers."""
        pool, found = self._models, []
        champion = pool.current
        if champion is not None:
            instead = {
                "champion": f"{champion.version} stays",
                "challenger": f"{champion.version} has its traffic",
                "shadow": "it scores nothing",
            }
            found += [
                f"version {refusal.version} was refused as {refusal.role}, "
                f"{instead[refusal.role]}: {refusal.reason}" for refusal in pool.refusals
            ]
        found += filter(None, (pool.problem, self._scores.problem))
        found += filter(None, [self.clock.warning()])
        found += self.tally.warnings(monotonic())
        return [f"{self.system.name}: {warning}" for warning in found]

    def version(self) -> VersionAnswer:
        """Which model answers, since when and why. On any thread."""
        pool = self._models
        lineup, deployed, refusals = pool.lineup, pool.deployment, pool.refusals
        loaded = None if lineup is None else lineup.champion
        return VersionAnswer(
            system=self.system.name,
            ack=self._ack,
            loaded=loaded.version if loaded else None,
            loaded_at=loaded.loaded_at if loaded else None,
            serving=[] if lineup is None else [
                ServingModel(version=version, role=role, loaded_at=model.loaded_at,
                             share=lineup.rollout.share(version))
                for version, model in lineup.models.items()
                if (role := lineup.rollout.role(version)) is not None
            ],
            deployment=None if deployed is None else DeploymentEntry(
                id=deployed.id, version=deployed.version, previous=deployed.previous,
                action=deployed.action,
                challengers=[ChallengerEntry(version=each.version, share=each.share)
                             for each in deployed.challengers],
                shadows=list(deployed.shadows), reason=deployed.reason, by=deployed.by,
                at=deployed.at,
            ),
            refused=[RefusedModel(version=refusal.version, role=refusal.role,
                                  reason=outward(refusal.reason)) for refusal in refusals],
            counts=Counts(**self._predictor.counts),
        )

    def _logged(self, call: Callable[[], T]) -> T:
        """`call`; after a failure of the log the next one opens it anew."""
        try:
            return call()
        except LogBusy:
            raise
        except LogUnavailable:
            self._predictor.close()
            raise
