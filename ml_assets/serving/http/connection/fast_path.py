"""Predictions, slates, and events that are told, which the connection itself answers, past ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.serving.access.doorkeeper import Doorkeeper
from ml_assets.serving.access.hosts import Hosts
from ml_assets.serving.batching.micro_batches import MicroBatches
from ml_assets.serving.contract.decoding import MAX_BODY_BYTES, RequestRefused
from ml_assets.serving.contract.encoding import CONTENT_CODING
from ml_assets.serving.contract.protocol import EventAnswer, PredictAnswer, RankAnswer
from ml_assets.serving.http.connection.connections import Connections
from ml_assets.serving.http.connection.draining import DrainingProtocol
from ml_assets.serving.http.connection.uvicorn_seam import STATUS_LINE, HttpToolsProtocol
from ml_assets.serving.http.connection.waiting import BETWEEN
from ml_assets.serving.http.fault_log import note_error
from ml_assets.serving.http.middleware import id_for, note
from ml_assets.serving.http.responses import answer_of, answer_to
from ml_assets.serving.telemetry.logs import REQUEST_ID
from ml_assets.serving.telemetry.metrics import Requests

Answer = PredictAnswer | EventAnswer | RankAnswer
Queue = (MicroBatches[bytes, PredictAnswer] | MicroBatches[bytes, EventAnswer]
         | MicroBatches[bytes, RankAnswer])


@dataclass(frozen=True, kw_only=True)
class FastPath:
    """What a connection needs in order to answer posts to some addresses by itself.

    queues: by address; a body waits there for its answer
    """

    door: Doorkeeper
    hosts: Hosts
    requests: Requests
    lines: SparseLog
    connections: Connections
    queues: Mapping[bytes, Queue] = field(default_factory=dict)


class FastPathProtocol(DrainingProtocol):
    """A connection that answers plain predictions itself, and hands all else to the ASGI app.

    Plain is what clients send: HTTP/1.1, an address to the letter, a body that says how long it
    is and may be, nobody before it who still waits for an answer, and a caller who may ask and is
    no browser. The app answers the same to the same request, so that whatever is unusual has only
    one way. What ASGI needs for each request, a scope, a task, events and messages, costs more
    than all that is done here.
    """

    def __init__(self, fast_path: FastPath, **given: Any) -> None:
        super().__init__(fast_path.connections, **given)
        self.fast_path = fast_path
        self._reading: Exchange | None = None
        """The plain request whose body is on its way."""

    def on_message_begin(self) -> None:
        self._begin()
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        if not self._head_is_sound():
            return
        self._reading = exchange = self._plain()
        if exchange is None:
            self._make_scope()
            self._ask_app()
        else:
            self._accept()
            self.cycle = exchange  # type: ignore[assignment]  # it has what uvicorn needs of a cycle
            if self._draining:
                self._tell()

    def on_body(self, body: bytes) -> None:
        if self._reading is None:
            super().on_body(body)
        else:
            self._hold(len(body))
            self._reading.parts.append(body)

    def on_message_complete(self) -> None:
        exchange, self._reading = self._reading, None
        if exchange is None:
            super().on_message_complete()
        else:
            self._phase, self.served = BETWEEN, True
            body = b"".join(exchange.parts)
            exchange.parts.clear()  # the connection knows its latest exchange until the next comes
            exchange.queue.put(body, exchange.done)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._reading is not None:
            self._reading.done(ClientDisconnect())
            self._reading = None

    def _should_upgrade(self) -> bool:
        """The API speaks no other protocol, WebSocket neither: the offer is ignored."""
        return False

    def _give_up(self) -> None:
        super()._give_up()
        if self._reading is not None:
            self._reading.done(ClientDisconnect())
            self._reading = None

    def _plain(self) -> Exchange | None:
        """The request whose head was just read, if it can be answered without ASGI."""
        queue = self.fast_path.queues.get(self.url)
        parser, headers = self.parser, dict(self.headers)
        if (
            queue is None
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or self.expect_100_continue
            or CONTENT_CODING in headers
            or int(headers.get(b"content-length", MAX_BODY_BYTES + 1)) > MAX_BODY_BYTES
            or not (self.cycle is None or self.cycle.response_complete)
            or self.flow.write_paused  # the app waits until the client reads
            or len(headers) != len(self.headers)  # one comes twice
            or b"origin" in headers
            or b"sec-fetch-site" in headers
        ):
            return None
        try:
            if headers.get(b"host") not in self.fast_path.hosts.known:
                self.fast_path.hosts.require("POST", self.headers)
            self.fast_path.door.admit(self.url.decode(), headers.get(b"authorization"))
        except RequestRefused:
            return None
        return Exchange(self, queue, id_for(headers.get(b"x-request-id")))

    def _make_scope(self) -> None:
        """Make the scope that uvicorn has made by now, with what was read since."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        HttpToolsProtocol.on_message_begin(self)
        self.url, self.expect_100_continue = url, expects
        self.headers += headers  # the scope's own list


class Exchange:
    """A request that its connection answers itself, where uvicorn has a RequestResponseCycle."""

    __slots__ = ("_id", "_path", "_protocol", "_started", "disconnected", "keep_alive", "parts",
                 "queue", "response_complete")

    message_event = asyncio.Event()
    """Nobody waits for it; uvicorn sets it when the connection is lost."""

    def __init__(
        self, protocol: FastPathProtocol, queue: Queue, request_id: bytes
    ) -> None:
        self._protocol, self.queue, self._id = protocol, queue, request_id
        self._path, self._started = protocol.url, perf_counter()
        self.parts: list[bytes] = []
        self.keep_alive: bool = protocol.parser.should_keep_alive()
        self.response_complete = self.disconnected = False

    @property
    def response_started(self) -> bool:
        return self.response_complete

    def done(self, answer: Answer | Exception) -> None:
        """Send it, to whoever is still there; count it, and log what failed."""
        context = REQUEST_ID.set(self._id.decode())
        try:
            path, version = self._path.decode(), None
            fast_path = self._protocol.fast_path
            if isinstance(answer, Exception):
                response = answer_to(answer, "POST", path)
                note_error(fast_path.lines, answer, f"POST {path}")
            else:
                response = answer_of(answer)
                if not isinstance(answer, EventAnswer):
                    version = str(answer.model_version)
            self._send(response)
            note(fast_path.requests, fast_path.lines, "POST", path, response.status_code,
                 perf_counter() - self._started, version)
        finally:
            REQUEST_ID.reset(context)

    def _send(self, response: Response) -> None:
        protocol, transport = self._protocol, self._protocol.transport
        self.response_complete = True
        if self.disconnected or transport.is_closing():
            return
        parts: list[bytes | memoryview] = [STATUS_LINE[response.status_code]]
        for name, value in (*protocol.server_state.default_headers, *response.raw_headers):
            parts += name, b": ", value, b"\r\n"
        parts += b"x-request-id: ", self._id, b"\r\n"
        parts += b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n", response.body
        transport.write(b"".join(parts))
        if not self.keep_alive:
            transport.close()
        protocol.on_response_complete()
