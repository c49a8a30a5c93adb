"""Traces: one for each request, whole, under the caller's, and only where they are asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import ROOT, Settings
from ml_assets.serving.composition import create_app
from ml_assets.serving.telemetry.traces import Traces
from tests.serving.kit import Toy, asked, wait_until
from tests.serving.shelf import Shelf
from tests.serving.test_server import server

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = 0x0AF7651916CD43DD8448EB211C80319C


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


def spans_of(toy: Toy, *asks: tuple[str, str, dict[str, str], object]) -> list[ReadableSpan]:
    """The spans that these requests make, asked all at once of an app in this process."""
    exporter = InMemorySpanExporter()
    traces = Traces(SimpleSpanProcessor(exporter))
    app = create_app(toy.settings, [toy.system], toy.backends(), traces=traces)

    async def ask() -> None:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://localhost"
            ) as http,
        ):
            await asyncio.gather(*(
                http.request(method, path, headers=headers, json=body)
                for method, path, headers, body in asks))

    asyncio.run(ask())
    return list(exporter.get_finished_spans())


def test_a_request_is_a_span_under_the_callers_and_says_who_answered(toy: Toy) -> None:
    sent = {"traceparent": CALLER, "x-request-id": "order-7"}
    batch, request = spans_of(toy, ("POST", "/v1/toy/predict", sent, asked("e1")))
    assert request.name == "POST /v1/{system}/predict"
    assert request.context is not None
    assert request.parent is not None
    assert (request.context.trace_id, request.parent.span_id) == (TRACE, 0xB7AD6B7169203331)
    about = dict(request.attributes or {})
    assert about["http.route"] == "/v1/{system}/predict"
    assert about["http.response.status_code"] == 200
    assert about["http.response.header.x_request_id"] == ("order-7",)
    assert about["http.response.header.x_model_version"] == ("1",)
    assert batch.parent == request.context
    assert dict(batch.attributes or {}) == {
        "ml_assets.batch.size": 1, "ml_assets.batch.degraded": 0}


def test_a_request_to_rank_is_told_as_a_prediction_is(settings: Settings) -> None:
    shelf = Shelf(settings=settings)
    shelf.deploy(1)
    batch, request = spans_of(shelf, ("POST", "/v1/shelf/rank", {"traceparent": CALLER}, {
        "event_id": "p1", "event": {"user": "ann", "hour": 9}, "candidates": ["film 01", "film 02"],
    }))
    assert request.name == "POST /v1/{system}/rank"
    assert dict(request.attributes or {})["http.response.header.x_model_version"] == ("1",)
    assert batch.parent == request.context
    assert dict(batch.attributes or {}) == {
        "ml_assets.batch.size": 1, "ml_assets.batch.degraded": 0}


def test_each_of_a_batchs_requests_has_the_batch_in_its_own_trace(toy: Toy) -> None:
    toy.features.failure = OSError("gone")
    found = spans_of(toy, *(("POST", "/v1/toy/predict", {}, asked(f"e{n}")) for n in range(8)))
    requests = {span.context.span_id: span for span in found
                if span.context is not None and span.name.startswith("POST")}
    batches = [span for span in found if span.name == "batch"]
    assert len(requests) == len(batches) == 8
    assert {span.parent.span_id for span in batches if span.parent} == set(requests)
    for span in batches:
        about = dict(span.attributes or {})
        assert about["ml_assets.batch.degraded"] == about["ml_assets.batch.size"]
        assert span.parent is not None
        mine = requests[span.parent.span_id]
        assert None not in (span.start_time, span.end_time, mine.start_time)
        assert (mine.start_time or 0) <= (span.start_time or 0) <= (span.end_time or 0)


def test_an_address_with_an_id_gets_its_routes_name_and_machines_that_poll_get_none(
    toy: Toy
) -> None:
    found = spans_of(
        toy, ("GET", "/v1/toy/predictions/0123", {}, None), ("GET", "/v1/a/b/c/d", {}, None),
        ("GET", "/healthz", {}, None), ("GET", "/readyz", {}, None), ("GET", "/metrics", {}, None))
    assert sorted(span.name for span in found) == [
        "GET", "GET /v1/{system}/predictions/{prediction_id}"]


def test_what_a_server_was_told_reaches_the_collector_before_it_ends(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the standard variables, also from several workers."""
    with collector() as (url, spans):
        monkeypatch.setenv("ML_ASSETS_TRACES", "otlp")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with server(settings, workers=2) as running:
            for n in range(6):
                httpx.post(f"{running.url}/v1/toy/predict", json=asked(f"e{n}"),
                           headers={"traceparent": CALLER})
            status, rest = running.stop(signal.SIGTERM)
        assert (status, "Traceback" in rest) == (0, False), rest
        wait_until(lambda: len(spans) == 12)
    assert {span.trace_id for span in spans} == {TRACE.to_bytes(16, "big")}
    assert sorted(span.name for span in spans) == ["POST /v1/{system}/predict"] * 6 + ["batch"] * 6


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """Its address, and the spans that it has got so far."""
    spans: list[Span] = []

    class Collect(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Collect)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}", spans
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def test_where_the_libraries_are_missing_the_server_says_what_to_install(
    settings: Settings
) -> None:
    code = (
        "import sys; sys.modules['opentelemetry.instrumentation.asgi'] = None\n"
        "from ml_assets.cli import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "serve", "--port", "0"], cwd=ROOT, capture_output=True,
        text=True, check=False, timeout=60,
        env={**os.environ, "ML_ASSETS_TRACES": "otlp", "ML_ASSETS_VAR": str(settings.var)},
    )
    assert ended.returncode == 1
    assert "pip install 'ml-assets[otel]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_where_nobody_asks_for_traces_no_library_is_loaded(settings: Settings) -> None:
    code = (
        "import sys, ml_assets.serving.server\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_an_unknown_way_of_tracing_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_TRACES", "jaeger")
    with pytest.raises(DeclarationError, match="'jaeger'; expected otlp or none"):
        Settings.from_environment()
