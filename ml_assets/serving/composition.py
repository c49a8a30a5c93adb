"""The composition root of the server: the one place where all its parts are made and joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ml_assets.core.objects.watch import StoreWatch
from ml_assets.core.runtime.hybrid_clock import HybridClock
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.settings import Settings
from ml_assets.core.storage.database import Database
from ml_assets.core.storage.places import watched
from ml_assets.core.system import System
from ml_assets.core.time import EventClock
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.storage.patience import Patience
from ml_assets.serving.access.doorkeeper import Doorkeeper
from ml_assets.serving.access.hosts import Hosts
from ml_assets.serving.answer.counters import Counters
from ml_assets.serving.answer.explanation import Provenance
from ml_assets.serving.answer.features import FEATURE_BUDGET, GuardedState, SystemState
from ml_assets.serving.answer.feedback import FeedbackIntake
from ml_assets.serving.answer.instants import Instants
from ml_assets.serving.answer.intake.told import ToldIntake
from ml_assets.serving.answer.latest_scores import LatestScores
from ml_assets.serving.answer.log_handle import LogHandle
from ml_assets.serving.answer.predictor import Predictor
from ml_assets.serving.answer.readiness import Readiness
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.answer.shadows import Shadows
from ml_assets.serving.answer.slates.candidates import Candidates
from ml_assets.serving.answer.slates.ranker import Ranker
from ml_assets.serving.batching.executor import Executor
from ml_assets.serving.batching.micro_batches import MicroBatches
from ml_assets.serving.contract.redaction import hide
from ml_assets.serving.guardrails.guard import Guard
from ml_assets.serving.guardrails.probe import Probe
from ml_assets.serving.guardrails.watcher import Watcher, WritableRecord
from ml_assets.serving.http.app import GuardedApp
from ml_assets.serving.http.bodies.predictions import Predictions
from ml_assets.serving.http.bodies.rankings import Rankings
from ml_assets.serving.http.bodies.told_events import ToldEvents
from ml_assets.serving.http.connection.connections import Connections
from ml_assets.serving.http.connection.fast_path import FastPath
from ml_assets.serving.http.handlers import Handlers
from ml_assets.serving.http.lifespan import Lifespan
from ml_assets.serving.http.pages import Pages
from ml_assets.serving.models.pool import ModelPool
from ml_assets.serving.models.scoring import Scorer, require_names
from ml_assets.serving.telemetry.freshness import Freshness
from ml_assets.serving.telemetry.metrics import Metrics, Requests
from ml_assets.serving.telemetry.worker_metrics import WorkerMetrics

if TYPE_CHECKING:
    # Imported only if traces are switched on: its libraries are an extra.
    from ml_assets.serving.telemetry.traces import Traces

LOG_PATIENCE_S = 2.0
"""How long a request waits for another writer of the log before it is answered with 503. All
systems of an API share it: they write the same file on the same thread."""


@dataclass(frozen=True, kw_only=True)
class Backends:
    """What answers come from. Each call makes a new one; tests put fakes here."""

    deployments: Callable[[], WritableRecord]
    model: Callable[[System, int], Scorer]
    state: Callable[[System, Database], SystemState]

    @classmethod
    def of(cls, settings: Settings) -> Backends:
        """The installation's own: deployment record, MLflow registry, Feast online store."""

        def deployments() -> WritableRecord:
            from ml_assets.registry.deployments import Deployments

            return Deployments(settings.deployments)

        def model(system: System, version: int) -> Scorer:
            from ml_assets.registry.models import ModelRegistry
            from ml_assets.training import artifact

            return artifact.load(ModelRegistry(settings).folder(system.name, version))

        def state(system: System, connection: Database) -> SystemState:
            from ml_assets.features.online import OnlineState

            return OnlineState(connection, settings, system, budget=FEATURE_BUDGET)

        return cls(deployments=deployments, model=model, state=state)


def create_app(
    settings: Settings, systems: Sequence[System], backends: Backends | None = None,
    workers: WorkerMetrics | None = None, traces: Traces | None = None,
    broken: Mapping[str, str] | None = None,
) -> GuardedApp:
    """The API of `systems`; `backends` are the installation's own unless given.

    workers: where several workers tell each other what they have counted
    traces: makes the spans of requests; it ends with the app
    broken: why other systems cannot be served, by their names
    """
    hide(settings.var, settings.cache)
    lines, patience = SparseLog(), Patience(LOG_PATIENCE_S)
    backends = backends or Backends.of(settings)
    processes = 1 if workers is None else workers.count
    served = {system.name: served_system(system, settings, backends, lines, patience, processes)
              for system in systems}
    # To sync a disk takes long, and several workers wait for each other.
    executor = Executor(at_once=settings.ack == "process" and workers is None and traces is None)
    predictions = Predictions(served, executor, traces.micro_batches if traces else MicroBatches,
                              lines)
    told = ToldEvents(served, executor, lines)
    rankings = Rankings(served, executor, traces.micro_batches if traces else MicroBatches)
    requests = Requests(list(served))

    def waiting(name: str) -> int:
        return sum(each.waiting(name) for each in (predictions, told, rankings))

    store = store_of(settings)
    metrics = Metrics(served, requests, waiting, executor.__len__,
                      {name: Freshness(settings, each.system) for name, each in served.items()},
                      store, workers)
    door = Doorkeeper(settings)
    fast_path = FastPath(
        door=door, hosts=Hosts.of(settings), requests=requests, lines=lines,
        connections=Connections(lines=lines),
        # With traces, every prediction is a request of the app that has a span.
        queues={} if traces else {
            **{f"/v1/{name}/predict".encode(): queue
               for name, queue in predictions.queues.items()},
            **{f"/v1/{name}/rank".encode(): queue for name, queue in rankings.queues.items()},
            **{f"/v1/{name}/events/{stream}".encode(): queue
               for (name, stream), queue in told.queues.items()},
        },
    )
    explainer = ThreadPoolExecutor(1, thread_name_prefix="explain")
    handlers = Handlers(served, executor, predictions, told, rankings, explainer, metrics,
                        settings.ack, broken or {}, store)
    lifespan = Lifespan(list(served.values()), door.tokens, store, executor,
                        lambda: len(predictions) + len(told) + len(rankings),
                        explainer, metrics, traces, lines)
    return GuardedApp(handlers, Pages(systems), lifespan, fast_path, traces)


def store_of(settings: Settings) -> StoreWatch | None:
    """What looks at the object store; None if there is none."""
    if settings.cluster is None or not settings.cluster.objects:
        return None
    return StoreWatch(settings.cluster.objects)


def served_system(
    system: System, settings: Settings, backends: Backends, lines: SparseLog, patience: Patience,
    processes: int = 1,
) -> ServedSystem:
    """The parts that answer for one system.

    lines: where refusals and faults are logged. patience: of all systems, see LOG_PATIENCE_S
    processes: how many answer beside each other, this one included
    """
    def now() -> datetime:
        return settings.clock_of(system.name).now()  # a replay puts another clock in its place

    def stands() -> bool:
        clock = settings.clock_of(system.name)
        return isinstance(clock, EventClock) and clock.stands_still()

    counters = Counters()
    log = LogHandle(watched(settings.event_log, lambda: EventLog(
        settings.event_log, patience=patience, ack=settings.ack)))
    instants = Instants(system.name, HybridClock(
        now, paced=lambda: not settings.clock_file(system.name).exists()), stands)
    state = GuardedState(system, lambda connection: backends.state(system, connection),
                         log.connection, stands=stands, lines=lines)

    def load(version: int) -> Scorer:
        scorer = backends.model(system, version)
        require_names(system, scorer, state.names)
        return scorer

    deployments = watched(settings.deployments, backends.deployments)
    models = ModelPool(system.name, deployments, load, now)
    guard = Guard(system.rollout.guardrails, processes=processes, bounds=system.target.bounds)
    probe = Probe(guard, models)
    shadows = Shadows(models, now=instants.now, counts=counters.kinds, guard=guard)
    policy = system.target.slates
    candidates = Candidates(settings.candidates(system.name), system.name)
    return ServedSystem(
        system=system, log=log, instants=instants, state=state, models=models,
        scores=LatestScores(system, state), shadows=shadows, counters=counters, lines=lines,
        guard=guard, watcher=Watcher(system.name, guard, models, deployments, now, stands),
        predictor=Predictor(
            system, log=log, instants=instants, state=state, models=models, shadows=shadows,
            counters=counters, lines=lines, guard=guard, probe=probe),
        ranker=None if policy is None else Ranker(
            system, policy, log=log, instants=instants, state=state, models=models,
            shadows=shadows, counters=counters, lines=lines, candidates=candidates, guard=guard,
            probe=probe),
        told=ToldIntake(system, log=log, instants=instants, state=state, counts=counters.kinds,
                        lines=lines),
        feedback=FeedbackIntake(system, log=log, instants=instants, counts=counters.kinds),
        provenance=Provenance(settings, system),
        readiness=Readiness(
            system.name, log=log, instants=instants, state=state, models=models,
            counters=counters, candidates=candidates),
    )
