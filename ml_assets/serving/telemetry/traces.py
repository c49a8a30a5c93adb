"""Traces for OpenTelemetry: a span for each request and, in it, one for the batch that it was in.

Imported only if traces are switched on: the libraries are the extra `otel`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from time import time_ns
from typing import TypeVar

from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Scope

from ml_assets.core.errors import MlAssetsError
from ml_assets.serving.batching.micro_batches import LARGEST_BATCH, MicroBatches
from ml_assets.serving.contract.protocol import PredictAnswer, RankAnswer


class TracesUnavailable(MlAssetsError, ImportError):
    """Traces are switched on and the libraries that make them are not installed."""


try:
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import Span, StatusCode, get_current_span, set_span_in_context
except ImportError as error:
    raise TracesUnavailable(
        f"ML_ASSETS_TRACES asks for traces, and {error.name} is not installed. Install the extra, "
        "`pip install 'ml-assets[otel]'`, or unset ML_ASSETS_TRACES"
    ) from error

FAREWELL_SECONDS = 3.0
UNTRACED = "/healthz$,/readyz$,/readyz/[^/]*$,/metrics$"
"""Asked again and again by machines, which nobody wants to read of."""
ID_HEADERS = ["x-request-id", "x-model-version"]

Answer = TypeVar("Answer", bound=PredictAnswer | RankAnswer)


class Traces:
    """Makes the spans of one process. Make it after the fork: it has a thread that sends them."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": os.environ.get(
                "OTEL_SERVICE_NAME", "ml-assets")}), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("ml_assets.serving")

    @classmethod
    def otlp(cls) -> Traces:
        """To the collector that OTEL_EXPORTER_OTLP_ENDPOINT names, by OTLP over HTTP."""
        return cls(BatchSpanProcessor(OTLPSpanExporter()))

    def close(self) -> None:
        """Send what is not sent yet; a collector that does not answer is not waited for."""
        last = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(FAREWELL_SECONDS)

    def around(self, app: ASGIApp, routes: Sequence[BaseRoute]) -> ASGIApp:
        """`app`, with a span around each request; a caller's `traceparent` is its parent.

        It has the name of the route, never of an address with an id in it, and what the answer's
        headers say: the request's id and the model version.
        """
        def details(scope: Scope) -> tuple[str, dict[str, str]]:
            route = next((each.path for each in routes if isinstance(each, Route)
                          and each.matches(scope)[0] != Match.NONE), None)
            if route is None:
                return scope["method"], {}
            return f"{scope['method']} {route}", {"http.route": route}

        # The names that have been stable since 2023; without this the library uses older ones.
        os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
        traced: ASGIApp = OpenTelemetryMiddleware(
            app, excluded_urls=UNTRACED, default_span_details=details,
            tracer_provider=self._provider, exclude_spans=["receive", "send"],
            http_capture_headers_server_response=ID_HEADERS,
        )
        return traced

    def micro_batches(
        self, run: Callable[[Sequence[bytes]], Sequence[Answer | Exception]
                            | Awaitable[Sequence[Answer | Exception]]],
        *, largest_batch: int = LARGEST_BATCH,
    ) -> MicroBatches[bytes, Answer]:
        """As `MicroBatches(run)`, with a span of its batch in each request's own."""
        return TracedMicroBatches(run, self._tell, largest_batch)

    def _tell(self, spans: Sequence[Span], started: int, told: dict[str, int], ok: bool) -> None:
        ended = time_ns()
        for parent in spans:
            if parent.is_recording():
                span = self._tracer.start_span(
                    "batch", set_span_in_context(parent, Context()), attributes=told,
                    start_time=started)
                if not ok:
                    span.set_status(StatusCode.ERROR)
                span.end(ended)


class TracedBody(bytes):
    """A request's body, and the span of the request."""

    span: Span


class TracedMicroBatches(MicroBatches[bytes, Answer]):
    """Micro-batches that tell the trace of each request which batch it was in.

    Each request has a span of its own for the same batch, so that every trace is whole.
    """

    def __init__(
        self, run: Callable[[Sequence[bytes]], Sequence[Answer | Exception]
                            | Awaitable[Sequence[Answer | Exception]]],
        tell: Callable[[Sequence[Span], int, dict[str, int], bool], None], largest_batch: int,
    ) -> None:
        async def told(bodies: Sequence[bytes]) -> Sequence[Answer | Exception]:
            spans = [body.span for body in bodies if isinstance(body, TracedBody)]
            about, started, ok = {"ml_assets.batch.size": len(bodies)}, time_ns(), False
            try:
                given = run(bodies)
                answers = given if isinstance(given, Sequence) else await given
                about["ml_assets.batch.degraded"] = sum(
                    not isinstance(answer, Exception) and answer.degraded for answer in answers)
                ok = True
            finally:
                tell(spans, started, about, ok)
            return answers

        super().__init__(told, largest_batch=largest_batch)

    async def ask(self, request: bytes) -> Answer:
        body = TracedBody(request)
        body.span = get_current_span()
        return await super().ask(body)
