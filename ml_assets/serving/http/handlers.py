"""The calls of the prediction API: from a request to the part that knows, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from ml_assets.core.errors import NotReady, unknown
from ml_assets.core.objects.watch import StoreWatch
from ml_assets.core.runtime.isolation import isolate
from ml_assets.core.settings import Ack
from ml_assets.ingest.log.event_log import Prediction
from ml_assets.ingest.log.slates import is_slate_id
from ml_assets.serving.answer.explanation import Heard
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.batching.executor import Executor
from ml_assets.serving.contract.health import LiveAnswer, ReadyAnswer
from ml_assets.serving.contract.records import ContributingRows, PredictionRecord, SlateRecord
from ml_assets.serving.contract.redaction import redacted
from ml_assets.serving.http.answers import (
    contributing_rows,
    prediction_record,
    score_answer,
    slate_record,
    version_answer,
)
from ml_assets.serving.http.bodies.feedback import add_feedback, add_feedback_batch
from ml_assets.serving.http.bodies.predictions import Predictions
from ml_assets.serving.http.bodies.rankings import Rankings
from ml_assets.serving.http.bodies.told_events import ToldEvents
from ml_assets.serving.http.body import read_body
from ml_assets.serving.http.middleware import BEARER
from ml_assets.serving.http.responses import answer_of
from ml_assets.serving.telemetry.metrics import CONTENT_TYPE, Metrics

T = TypeVar("T")


class Handlers:
    """One method for each call. What reads a store or scores runs in `executor`.

    Explanations read MLflow and the lake, which may take seconds, on `explainer`, a thread of
    their own.
    """

    def __init__(
        self, systems: Mapping[str, ServedSystem], executor: Executor, predictions: Predictions,
        told: ToldEvents, rankings: Rankings, explainer: ThreadPoolExecutor, metrics: Metrics,
        ack: Ack, broken: Mapping[str, str], store: StoreWatch | None = None,
    ) -> None:
        """store: what looks at the object store; None if there is none"""
        self._systems, self._executor, self._predictions = systems, executor, predictions
        self._told, self._rankings = told, rankings
        self._explainer, self._metrics, self._ack = explainer, metrics, ack
        self._store = store
        self._broken = {name: f"the declaration of {name!r} is broken: {reason}"
                        for name, reason in broken.items()}
        self._measuring = asyncio.Lock()
        self.ranks = bool(rankings.queues)
        """Whether any of the systems answers with slates."""

    async def predict(self, request: Request) -> Response:
        """Called only if the connection does not answer by itself: see `fast_path`."""
        system, body = self._system(request), await read_body(request.scope, request.receive)
        return answer_of(await self._predictions.one(system, body))

    async def predict_batch(self, request: Request) -> Response:
        system, body = self._system(request), await read_body(request.scope, request.receive)
        return answer_of(await self._predictions.batch(system, body))

    async def rank(self, request: Request) -> Response:
        """Likewise."""
        system, body = self._system(request), await read_body(request.scope, request.receive)
        return answer_of(await self._rankings.one(system, body))

    async def event(self, request: Request) -> Response:
        """An event of a stream that only feeds features; see `fast_path` too."""
        system, body = self._system(request), await read_body(request.scope, request.receive)
        return answer_of(await self._told.one(system, request.path_params["stream"], body))

    async def event_batch(self, request: Request) -> Response:
        system, body = self._system(request), await read_body(request.scope, request.receive)
        return answer_of(await self._told.batch(system, request.path_params["stream"], body))

    async def feedback(self, request: Request) -> Response:
        system, body = self._system(request), await read_body(request.scope, request.receive)
        bearer = request.scope.get(BEARER)
        return answer_of(await self._executor.in_line(lambda: add_feedback(system, body, bearer)))

    async def feedback_batch(self, request: Request) -> Response:
        system, body = self._system(request), await read_body(request.scope, request.receive)
        bearer, lines = request.scope.get(BEARER), self._told.lines
        return answer_of(await self._executor.in_line(
            lambda: add_feedback_batch(system, body, bearer, lines)))

    async def score(self, request: Request) -> Response:
        """The latest score of an entity."""
        system, key = self._system(request), request.path_params["key"]
        return answer_of(score_answer(
            await self._executor.in_line(lambda: system.scores.read(key))))

    async def record(self, request: Request) -> Response:
        if is_slate_id(request.path_params["prediction_id"]):
            return await self._slate_record(request)
        system, prediction, heard = await self._logged(request)

        def explain() -> PredictionRecord:
            return prediction_record(system.system, system.provenance.explain(prediction, heard))

        return answer_of(await self._aside(explain))

    async def _slate_record(self, request: Request) -> Response:
        system, name = self._system(request), request.path_params["prediction_id"]
        slate, heard = await self._executor.in_line(lambda: system.find_slate(name))

        def explain() -> SlateRecord:
            return slate_record(system.system, slate, [
                system.provenance.explain(row, each)
                for row, each in zip(slate.rows, heard, strict=True)])

        return answer_of(await self._aside(explain))

    async def rows(self, request: Request) -> Response:
        system, prediction, _ = await self._logged(request)

        def read() -> ContributingRows:
            return contributing_rows(prediction, system.provenance.rows(prediction),
                                     system.provenance.texts(prediction))

        return answer_of(await self._aside(read))

    async def version(self, request: Request) -> Response:
        system = self._system(request)
        name = system.system.name
        counts = await asyncio.to_thread(self._metrics.counts, name)
        return answer_of(version_answer(name, self._ack, system.models, counts))

    async def guardrails(self, request: Request) -> Response:
        """Judge now what versions were seen to do; in a replay nothing else does."""
        system = self._system(request)
        await asyncio.to_thread(system.watcher.judge)
        return await self.version(request)

    async def live(self, request: Request) -> Response:
        return answer_of(LiveAnswer())

    async def ready(self, request: Request) -> Response:
        """Of all systems, or of the one in the path."""
        systems, broken = self._systems, self._broken
        if (name := request.path_params.get("system")) in broken:
            systems, broken = {}, {name: broken[name]}
        elif name is not None:
            systems, broken = {name: self._system(request)}, {}
        if request.app.state.stopping:
            return answer_of(ReadyAnswer(ready=False, systems=dict.fromkeys(systems, False),
                                         problems=["stopping"], warnings=[]), 503)
        problems = await self._executor.on_worker(
            lambda: _said(systems, lambda system: system.readiness.problems()))
        warnings = _said(systems, lambda system: system.readiness.warnings())
        problems |= {name: [redacted(f"{name}: {why}")] for name, why in broken.items()}
        if self._store is not None and self._store.problem is not None:
            warnings[""] = [redacted(f"{self._store.problem}. What is loaded goes on")]
        ready = {name: not each for name, each in problems.items()}
        answer = ReadyAnswer(ready=any(ready.values()), systems=ready,
                             problems=list(chain(*problems.values())),
                             warnings=list(chain(*warnings.values())))
        return answer_of(answer, 200 if answer.ready else 503)

    async def metrics(self, request: Request) -> Response:
        async with self._measuring:
            text = await asyncio.to_thread(self._metrics.text)
        return Response(text, media_type=CONTENT_TYPE)

    def _system(self, request: Request) -> ServedSystem:
        name = request.path_params["system"]
        if name in self._broken:
            raise NotReady(self._broken[name])
        if name not in self._systems:
            raise unknown("system", name, self._systems)
        return self._systems[name]

    async def _logged(self, request: Request) -> tuple[ServedSystem, Prediction, Heard]:
        system, prediction_id = self._system(request), request.path_params["prediction_id"]
        return system, *await self._executor.in_line(lambda: system.find(prediction_id))

    async def _aside(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._explainer, call)


def _said(
    systems: Mapping[str, ServedSystem], ask: Callable[[ServedSystem], Sequence[str]]
) -> dict[str, list[str]]:
    """What each system says, for clients; if one fails to say, that is said."""
    said: dict[str, list[str]] = {}
    for name, told in zip(systems, isolate(ask, systems.values()), strict=True):
        if isinstance(told, Exception):
            told = [f"{name}: its state cannot be read: {type(told).__name__}: {told}"]
        said[name] = list(map(redacted, told))
    return said
