"""The prediction API over HTTP: addresses, bodies and errors, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ml_assets.core.errors import unknown
from ml_assets.core.runtime.isolation import isolate
from ml_assets.core.runtime.sparse_log import MINUTE_S, SparseLog
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.serving.access.doorkeeper import Doorkeeper
from ml_assets.serving.access.hosts import Hosts
from ml_assets.serving.answer.backends import Backends
from ml_assets.serving.answer.service import Service, log_patience
from ml_assets.serving.batching.executor import Calls
from ml_assets.serving.batching.micro_batches import Turns
from ml_assets.serving.contract.fault_log import Faults, note_error
from ml_assets.serving.contract.openapi import index, openapi
from ml_assets.serving.contract.protocol import (
    LiveAnswer,
    PredictAnswer,
    PredictionRecord,
    ReadyAnswer,
)
from ml_assets.serving.contract.redaction import hide, outward
from ml_assets.serving.contract.responses import EXPECTED, JsonAnswer, answer_of, on_error
from ml_assets.serving.http.body import read_body
from ml_assets.serving.http.connections import Connections
from ml_assets.serving.http.fast_path import Direct
from ml_assets.serving.http.middleware import BEARER, Edge
from ml_assets.serving.telemetry.metrics import CONTENT_TYPE, Metrics, Requests
from ml_assets.serving.telemetry.worker_metrics import Board

if TYPE_CHECKING:
    # Imported where it is asked for alone: its libraries are an extra.
    from ml_assets.serving.telemetry.traces import Traces

T = TypeVar("T")
Answers = list[PredictAnswer | Exception]

DOCS = Path(__file__).with_name("docs.html")


def create_app(
    settings: Settings, systems: Sequence[System], backends: Backends | None = None,
    board: Board | None = None, traces: Traces | None = None,
) -> GuardedApp:
    """The API of `systems`; `backends` are the installation's own unless given.

    board: where several workers tell each other what they have counted
    traces: makes the spans of requests, where anyone asks for them; it ends with the app

    Whoever serves it sets its `state.stopping` when it begins to drain, and may answer by its
    `direct` what needs no ASGI.
    """
    backends = backends or Backends.of(settings)
    hide(settings.var, settings.cache)
    lines, patience = SparseLog(), log_patience()
    services = [Service(system, settings, backends, lines, patience) for system in systems]
    api = Api(
        services, lines, board, traces,
        # To sync a disk takes long, and several workers wait for each other.
        at_once=settings.ack == "process" and board is None and traces is None,
    )
    described = msgspec.json.format(msgspec.json.encode(openapi(systems)))
    docs = DOCS.read_text()
    listed = msgspec.json.format(msgspec.json.encode(index(systems)))

    async def home(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return await show_docs(request)
        return JsonAnswer(listed)

    async def show_docs(request: Request) -> Response:
        # In a frame of another site its buttons could be pressed unseen.
        return HTMLResponse(docs, headers={"x-frame-options": "SAMEORIGIN"})

    async def describe(request: Request) -> Response:
        return JsonAnswer(described)

    async def tell(request: Request, error: Exception) -> Response:
        note_error(lines, error, f"{request.method} {request.url.path}")
        return await on_error(request, error)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await api.open()
        yield
        await api.close()

    app = GuardedApp(
        Direct(door=Doorkeeper(settings), hosts=Hosts.of(settings), requests=api.requests,
               turns=api.direct, lines=lines, connections=Connections(lines=lines)),
        traces,
        routes=[
            Route("/", home),
            Route("/docs", show_docs),
            Route("/openapi.json", describe),
            Route("/healthz", api.live),
            Route("/readyz", api.ready),
            Route("/metrics", api.metrics),
            Route("/v1/{system}/predict", api.predict, methods=["POST"]),
            Route("/v1/{system}/predict/batch", api.predict_batch, methods=["POST"]),
            Route("/v1/{system}/feedback", api.feedback, methods=["POST"]),
            Route("/v1/{system}/scores/{key:path}", api.score),
            Route("/v1/{system}/predictions/{prediction_id}", api.record),
            Route("/v1/{system}/predictions/{prediction_id}/rows", api.rows),
            Route("/v1/{system}/version", api.version),
        ],
        exception_handlers={**dict.fromkeys(EXPECTED, tell), Exception: on_error},
        lifespan=lifespan,
    )
    app.state.stopping = False
    return app


class GuardedApp(Starlette):
    """Routes and handlers behind the edge, which sees every request first and every answer last."""

    def __init__(self, direct: Direct, traces: Traces | None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.direct, self._traces = direct, traces

    def build_middleware_stack(self) -> ASGIApp:
        direct = self.direct
        app: ASGIApp = Edge(super().build_middleware_stack(), direct.door, direct.hosts,
                            direct.requests, direct.lines)
        if self._traces is not None:
            app = self._traces.around(app, self.routes)
        return Faults(app, direct.lines)


class Api:
    """The handlers. What reads a store or scores runs in `calls`.

    Explanations read MLflow and the lake, which may take seconds, on a thread of their own.

    at_once: whether predictions may run on the event loop
    """

    def __init__(
        self, services: Sequence[Service], lines: SparseLog, board: Board | None = None,
        traces: Traces | None = None, *, at_once: bool = True,
    ) -> None:
        self._lines = lines
        self._traces = traces
        self._calls = Calls(at_once=at_once)
        self._services = {service.system.name: service for service in services}
        self._turns = {service.system.name: self._turns_of(service) for service in services}
        self._aside_tasks: list[asyncio.Task[None]] = []
        self._explainer = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self.requests = Requests(list(self._services))
        self._metrics = Metrics(services, self.requests, self._depth, board)
        self._measuring = asyncio.Lock()

    def _depth(self) -> int:
        """How many calls wait for the worker or are on it."""
        return len(self._calls) + sum(map(len, self._turns.values()))

    async def open(self) -> None:
        self._calls.start()
        for service in self._services.values():
            await self._calls.on_worker(service.open)
        self._metrics.open()
        self._aside_tasks = [asyncio.create_task(each()) for each in (self._shadow, self._tell)]

    async def close(self) -> None:
        while any(map(len, self._turns.values())):
            await asyncio.sleep(0.01)  # they came, and are logged, though nobody waits any more
        for task in self._aside_tasks:
            task.cancel()
            await asyncio.wait([task])
        for service in self._services.values():
            await self._calls.on_worker(service.close)
        self._metrics.close()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)
        self._calls.stop()
        self._explainer.shutdown()
        self._lines.tell_rest(all_of_them=True)

    @property
    def direct(self) -> dict[bytes, Turns[bytes, PredictAnswer]]:
        """Where predictions wait, by their addresses; none where each has a trace."""
        if self._traces is not None:
            return {}
        return {f"/v1/{name}/predict".encode(): turns for name, turns in self._turns.items()}

    async def predict(self, request: Request) -> Response:
        """Where the connection does not answer by itself: see `direct`."""
        service, body = self._service(request), await read_body(request.scope, request.receive)
        return answer_of(await self._turns[service.system.name].ask(body))

    async def predict_batch(self, request: Request) -> Response:
        service, body = self._service(request), await read_body(request.scope, request.receive)
        return answer_of(await self._calls.in_line(lambda: service.predict_batch(body)))

    async def feedback(self, request: Request) -> Response:
        service, body = self._service(request), await read_body(request.scope, request.receive)
        bearer = request.scope.get(BEARER)
        return answer_of(await self._calls.in_line(lambda: service.add_feedback(body, bearer)))

    async def score(self, request: Request) -> Response:
        service, key = self._service(request), request.path_params["key"]
        return answer_of(await self._calls.in_line(lambda: service.score(key)))

    async def record(self, request: Request) -> Response:
        service, logged = await self._logged(request)
        return answer_of(await self._aside(lambda: service.explain(logged)))

    async def rows(self, request: Request) -> Response:
        service, logged = await self._logged(request)
        return answer_of(await self._aside(lambda: service.rows(logged)))

    async def _logged(self, request: Request) -> tuple[Service, PredictionRecord]:
        service, wanted = self._service(request), request.path_params["prediction_id"]
        return service, await self._calls.in_line(lambda: service.record(wanted))

    def _turns_of(self, service: Service) -> Turns[bytes, PredictAnswer]:
        def run(bodies: Sequence[bytes]) -> Answers | asyncio.Future[Answers]:
            return self._calls.batch(
                lambda waits: service.predict_together(bodies, waits=waits), service.settle
            )

        return Turns(run) if self._traces is None else self._traces.turns(run)

    async def version(self, request: Request) -> Response:
        service = self._service(request)
        counts = await asyncio.to_thread(self._metrics.counts, service.system.name)
        return answer_of(msgspec.structs.replace(service.version(), counts=counts))

    async def live(self, request: Request) -> Response:
        return answer_of(LiveAnswer())

    async def ready(self, request: Request) -> Response:
        if request.app.state.stopping:
            return answer_of(ReadyAnswer(ready=False, problems=["stopping"], warnings=[]), 503)
        services = list(self._services.values())
        problems = await self._calls.on_worker(lambda: _told(services, Service.problems))
        warnings = _told(services, Service.warnings)
        answer = ReadyAnswer(ready=not problems, problems=problems, warnings=warnings)
        return answer_of(answer, 200 if answer.ready else 503)

    async def metrics(self, request: Request) -> Response:
        async with self._measuring:
            text = await asyncio.to_thread(lambda: self._metrics.text({
                name: service.freshness.ages() for name, service in self._services.items()
            }))
        return Response(text, media_type=CONTENT_TYPE)

    def _service(self, request: Request) -> Service:
        name = request.path_params["system"]
        if name not in self._services:
            raise unknown("system", name, self._services)
        return self._services[name]

    async def _shadow(self) -> None:
        """Let shadows score what was answered, a turn at a time, while no request waits."""
        while True:
            await self._calls.idle.wait()
            self._calls.idle.clear()
            # A request that comes meanwhile is next; once it is answered, this goes on.
            while not self._calls and (waiting := self._unshadowed()):
                try:
                    await self._calls.on_worker(waiting[0].shadow)
                except Exception as error:
                    note_error(self._lines, error, "a shadow's turn, which is lost,")

    async def _tell(self) -> None:
        """Say from time to time how many lines of the log were held back."""
        while True:
            await asyncio.sleep(MINUTE_S / 2)
            self._lines.tell_rest()

    def _unshadowed(self) -> list[Service]:
        return [service for service in self._services.values() if service.unshadowed]

    async def _aside(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._explainer, call)


def _told(
    services: Sequence[Service], ask: Callable[[Service], Sequence[str]]
) -> list[str]:
    """What each system has to say, for clients; a system that cannot even be asked says so."""
    found: list[str] = []
    for service, told in zip(services, isolate(ask, services), strict=True):
        if isinstance(told, Exception):
            told = [f"{service.system.name}: it cannot be asked: {type(told).__name__}: {told}"]
        found += map(outward, told)
    return found
