"""The prediction API over HTTP: addresses, bodies and errors, and nothing else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ml_assets.core.errors import (
    LogUnavailable,
    MlAssetsError,
    NotReady,
    Overloaded,
    Quarantined,
    TooOften,
    UnknownName,
    unknown,
)
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.serving.edge import BEARER, MODEL_VERSION, Edge
from ml_assets.serving.metrics import CONTENT_TYPE, Metrics, Requests
from ml_assets.serving.openapi import index, openapi
from ml_assets.serving.protocol import (
    MAX_BODY_BYTES,
    LiveAnswer,
    PredictAnswer,
    PredictionRecord,
    Problem,
    ProblemAnswer,
    ReadyAnswer,
    RequestRefused,
)
from ml_assets.serving.security import Doorkeeper
from ml_assets.serving.service import Backends, Service
from ml_assets.serving.turns import RETRY_AFTER, Turns

log = logging.getLogger(__name__)
T = TypeVar("T")

DOCS = Path(__file__).with_name("docs.html")
MAX_DRAINED_BYTES = 8 * MAX_BODY_BYTES
"""So much of a body that is too large is still read: a client that writes does not listen."""

LONGEST_LINE = 64
"""Batches, feedback and look-ups that may wait for the worker: of full batches, a few seconds."""


def create_app(
    settings: Settings, systems: Sequence[System], backends: Backends | None = None
) -> Starlette:
    """The API of `systems`; `backends` are the installation's own unless given."""
    api = Api([Service(system, settings, backends or Backends.of(settings)) for system in systems])
    described = msgspec.json.format(msgspec.json.encode(openapi(systems)))
    docs = DOCS.read_text()
    listed = msgspec.json.format(msgspec.json.encode(index(systems)))

    async def home(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(docs)
        return _json(listed)

    async def show_docs(request: Request) -> Response:
        return HTMLResponse(docs)

    async def describe(request: Request) -> Response:
        return _json(described)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await api.open()
        yield
        await api.close()

    return GuardedApp(
        Doorkeeper(settings), api.requests,
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
        exception_handlers={
            MlAssetsError: on_known_error,
            HTTPException: on_http_error,
            ClientDisconnect: on_disconnect,
            Exception: on_bug,
        },
        lifespan=lifespan,
    )


class GuardedApp(Starlette):
    """Routes and handlers behind the edge, which sees every request first and every answer last."""

    def __init__(self, door: Doorkeeper, requests: Requests, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._door, self._requests = door, requests

    def build_middleware_stack(self) -> ASGIApp:
        return Edge(super().build_middleware_stack(), self._door, self._requests)


class Api:
    """The handlers. Everything that reads a store or scores runs on one worker thread.

    There SQLite connections stay on the thread that made them, and requests for the same
    event meet one after the other, so the second finds the answer of the first; meanwhile
    the event loop goes on reading requests, which are the next batch (see `turns`), and
    telling that the process lives. On the loop itself a request alone would take a tenth less
    of CPU and those under load no less, and all would stand still while another process holds
    SQLite or a disk is slow. Explanations read MLflow and the lake, which may take seconds, on
    a thread of their own.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = {service.system.name: service for service in services}
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._turns = {service.system.name: self._turns_of(service) for service in services}
        self._asked = 0
        """Requests that wait for the worker or are on it."""
        self._idle = asyncio.Event()
        self._shadowing: asyncio.Task[None] | None = None
        self._explainer = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self.requests = Requests(list(self._services))
        self._metrics = Metrics(services, self.requests, self._depth)
        self._measuring = asyncio.Lock()

    def _depth(self) -> int:
        """How many calls wait for the worker or are on it."""
        return self._asked + sum(map(len, self._turns.values()))

    async def open(self) -> None:
        for service in self._services.values():
            await self._on_worker(service.open)
        self._shadowing = asyncio.create_task(self._shadow())

    async def close(self) -> None:
        if self._shadowing is not None:
            self._shadowing.cancel()
            await asyncio.wait([self._shadowing])
        for service in self._services.values():
            await self._on_worker(service.close)
        self._worker.shutdown()
        self._explainer.shutdown()

    async def predict(self, request: Request) -> Response:
        service, body = self._service(request), await read_body(request)
        return _answer(await self._turns[service.system.name].ask(body))

    async def predict_batch(self, request: Request) -> Response:
        service, body = self._service(request), await read_body(request)
        return _answer(await self._in_line(lambda: service.predict_batch(body)))

    async def feedback(self, request: Request) -> Response:
        service, body = self._service(request), await read_body(request)
        bearer = request.scope.get(BEARER)
        return _answer(await self._in_line(lambda: service.add_feedback(body, bearer)))

    async def score(self, request: Request) -> Response:
        service, key = self._service(request), request.path_params["key"]
        return _answer(await self._in_line(lambda: service.score(key)))

    async def record(self, request: Request) -> Response:
        service, logged = await self._logged(request)
        return _answer(await self._aside(lambda: service.explain(logged)))

    async def rows(self, request: Request) -> Response:
        service, logged = await self._logged(request)
        return _answer(await self._aside(lambda: service.rows(logged)))

    async def _logged(self, request: Request) -> tuple[Service, PredictionRecord]:
        service, wanted = self._service(request), request.path_params["prediction_id"]
        return service, await self._in_line(lambda: service.record(wanted))

    def _turns_of(self, service: Service) -> Turns[bytes, PredictAnswer]:
        async def run(bodies: Sequence[bytes]) -> Sequence[PredictAnswer | Exception]:
            return await self._on_worker(lambda: service.predict_together(bodies))

        return Turns(run)

    async def version(self, request: Request) -> Response:
        return _answer(self._service(request).version())

    async def live(self, request: Request) -> Response:
        return _answer(LiveAnswer())

    async def ready(self, request: Request) -> Response:
        services = self._services.values()
        problems = await self._on_worker(
            lambda: [problem for service in services for problem in service.problems()]
        )
        answer = ReadyAnswer(
            ready=not problems, problems=problems,
            warnings=[warning for service in services for warning in service.warnings()],
        )
        return _answer(answer, 200 if answer.ready else 503)

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

    async def _in_line(self, call: Callable[[], T]) -> T:
        """`call` on the worker. Raises Overloaded at once where too many others wait for it."""
        if self._asked >= LONGEST_LINE:
            raise Overloaded(f"{self._asked} calls wait already, which is as many as may; this "
                             "one was not looked at. Send it again later", RETRY_AFTER)
        return await self._on_worker(call)

    async def _on_worker(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        self._asked += 1
        try:
            return await loop.run_in_executor(self._worker, call)
        finally:
            self._asked -= 1
            if not self._asked:
                # Soon, not now: first the caller goes on from here, and sends the answer.
                loop.call_soon(self._idle.set)

    async def _shadow(self) -> None:
        """Let shadows score what was answered, a turn at a time, while no request waits."""
        loop = asyncio.get_running_loop()
        while True:
            await self._idle.wait()
            self._idle.clear()
            # A request that comes meanwhile is next; once it is answered, this goes on.
            while not self._asked and (waiting := self._unshadowed()):
                try:
                    await loop.run_in_executor(self._worker, waiting[0].shadow)
                except Exception:
                    log.exception("a shadow's turn failed; others go on")

    def _unshadowed(self) -> list[Service]:
        return [service for service in self._services.values() if service.unshadowed]

    async def _aside(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._explainer, call)


async def read_body(request: Request) -> bytes:
    """The whole body. Raises RequestRefused where it is larger than MAX_BODY_BYTES."""
    declared = int(request.headers.get("content-length", "0"))
    # Who asks "Expect: 100-continue" has not sent anything yet.
    if declared > MAX_DRAINED_BYTES or (declared > MAX_BODY_BYTES and "expect" in request.headers):
        raise _too_large()
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            body += chunk
        elif size > MAX_DRAINED_BYTES:
            break
    if size > MAX_BODY_BYTES:
        raise _too_large()
    return bytes(body)


def _too_large() -> RequestRefused:
    return RequestRefused(
        413, "body_too_large",
        f"the body has more than {MAX_BODY_BYTES:,} bytes; send larger batches in parts",
    )


async def on_known_error(request: Request, error: Exception) -> Response:
    """The project's own errors say what is wrong in words meant for the client."""
    if isinstance(error, RequestRefused):
        return _problem(error.status, error.problem, error.headers)
    if isinstance(error, UnknownName):
        return _problem(404, Problem(code="not_found", message=str(error)))
    if isinstance(error, Quarantined):
        return _problem(422, Problem(code="unusable_event", message=str(error)))
    if isinstance(error, Overloaded):
        # Not logged: a line for each would be more work than they all.
        seconds = max(1, ceil(error.retry_after.total_seconds()))
        return _problem(503, Problem(code="overloaded", message=str(error)),
                        {"retry-after": str(seconds)})
    if isinstance(error, TooOften):
        seconds = max(1, ceil(error.retry_after.total_seconds()))
        return _problem(429, Problem(code="too_often", message=str(error)),
                        {"retry-after": str(seconds)})
    if isinstance(error, LogUnavailable | NotReady):
        code = "log_unavailable" if isinstance(error, LogUnavailable) else "not_ready"
        log.error("%s: %s", request.url.path, error)
        return _problem(503, Problem(code=code, message=str(error)), {"retry-after": "1"})
    log.error("%s: %s", request.url.path, error)
    return _problem(500, Problem(code="failed", message=str(error)))


async def on_http_error(request: Request, error: Exception) -> Response:
    """An address or a method that does not exist."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}; GET / lists all calls"
    code = error.detail.lower().replace(" ", "_")
    return _problem(error.status_code, Problem(code=code, message=message), error.headers)


async def on_disconnect(request: Request, error: Exception) -> Response:
    """The client went away before its request was complete: nobody reads this."""
    return Response(status_code=400)


async def on_bug(request: Request, error: Exception) -> Response:
    """Whatever we did not foresee: the log has the trace, the client an apology."""
    message = "this is a fault of the server, not of your request; its log has the details"
    return _problem(500, Problem(code="internal", message=message))


def _problem(status: int, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    return _answer(ProblemAnswer(error=problem), status, headers)


def _answer(
    answer: msgspec.Struct, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    if isinstance(answer, PredictAnswer):
        headers = {MODEL_VERSION: str(answer.model_version)}
    return _json(msgspec.json.encode(answer), status, headers)


def _json(content: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(content, status, headers, media_type="application/json")
