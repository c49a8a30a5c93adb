"""A connection that holds its client to limits, before anything else looks at what came."""

from __future__ import annotations

import select
from typing import Any

import httptools

from ml_assets.serving.contract.decoding import RequestRefused
from ml_assets.serving.http.connection.connections import Connections
from ml_assets.serving.http.connection.heads import host_in, require_known_framing, without_offer
from ml_assets.serving.http.connection.request_size import RequestSize
from ml_assets.serving.http.connection.uvicorn_seam import STATUS_LINE, HttpToolsProtocol
from ml_assets.serving.http.connection.waiting import BETWEEN, BODY, HEAD, Waiting, next_step
from ml_assets.serving.http.middleware import id_for
from ml_assets.serving.http.responses import answer_to

LINGER_SECONDS = 2.0
"""How long a refused client may go on sending, to no effect: one that is cut off in the middle
often never reads why."""


class GuardedProtocol(HttpToolsProtocol):
    """Uvicorn's connection, with bounds on what a client may send and how slowly.

    Uvicorn has none on the size of a head, the number of headers or the time that a request takes
    to come. It takes an offer to change to HTTP/2 for the end of HTTP, and answers what is sent
    behind a request that is no HTTP before the request. The bounds: see `ConnectionLimits`.
    """

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self.served = False
        self._all, self._limits = connections, connections.limits
        self._most_headers = self._limits.headers
        self._phase = BETWEEN
        self._size, self._waiting = RequestSize(self._limits), Waiting()
        self._held = 0
        self._due = 0
        """Requests whose heads were read and that wait for their answers."""
        self._refused: RequestRefused | None = None

    # --- what comes ---------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if not self._all.enter(self):
            self._refuse(RequestRefused(
                503, "too_many_connections", "as many connections as may be are open, and all are "
                "at work. Try again later", headers={"retry-after": "1"},
            ))

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.leave(self)
        self._let_go()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused is not None:
            return
        self._unset_keepalive_if_required()
        self._size.arrived = len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._go_on(memoryview(data)[upgrade.args[0]:])
            if self._phase == HEAD:
                self._size.count_head(self.url)
            elif self._phase == BODY:
                self._size.count_body()
        except RequestRefused as refused:
            self._refuse(refused)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, RequestRefused) else RequestRefused(
                400, "invalid_http", f"this is no sound HTTP/1.1: {error}"))

    def on_message_begin(self) -> None:
        self._begin()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._size.require_url(self.url)

    def on_header(self, name: bytes, value: bytes) -> None:
        # Uvicorn's own is not called: a frame more for each header is a twentieth of the way in.
        if self._phase == BODY:
            return  # a trailer: nothing here reads one, and none may pass for a header
        name, headers = name.lower(), self.headers
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))
        if len(headers) > self._most_headers:
            raise RequestRefused(431, "head_too_large", "the request has more than "
                                 f"{self._most_headers} headers")

    def on_headers_complete(self) -> None:
        if self._head_is_sound():
            self._ask_app()

    def _ask_app(self) -> None:
        """Let the ASGI app answer the request whose head is complete."""
        require_known_framing(self.parser.get_http_version(), self.headers)
        if len(self.pipeline) >= self._limits.queued:
            raise RequestRefused(503, "overloaded", f"{self._limits.queued} requests wait on this "
                                 "connection already, which is as many as may")
        if host := host_in(self.url):
            self.headers[:] = [(name, host if name == b"host" else value)
                               for name, value in self.headers]
        super().on_headers_complete()
        self._accept()

    def on_body(self, body: bytes) -> None:
        if not self.cycle.response_complete:
            self._hold(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._phase = BETWEEN
        self.served = True
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._let_go()
        self._due -= 1
        super().on_response_complete()
        if self._refused is not None and not self._due:
            self._unset_keepalive_if_required()
            self._send_refusal(self._refused)

    def handle_websocket_upgrade(self) -> None:
        self._all.leave(self)
        super().handle_websocket_upgrade()

    def _begin(self) -> None:
        self._phase = HEAD
        self._size.messages += 1

    def _go_on(self, rest: memoryview) -> None:
        """Read on behind a head that offers to change to another protocol.

        RFC 9110, 7.8: a server may ignore the offer, and answers as if there were none.
        """
        while not self._should_upgrade():
            parser = self.parser
            head = without_offer(parser.get_method(), self.url, parser.get_http_version(),
                                 self.headers)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.parser.feed_data(head)
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0]:]
        self.handle_websocket_upgrade()

    # --- what it holds --------------------------------------------------------------------------

    def _head_is_sound(self) -> bool:
        """Whether the request whose head is complete is to be answered now.

        Not if it would change to another protocol: without that offer its head comes again.
        Raises RequestRefused if it is too large.
        """
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise RequestRefused(405, "method_not_allowed", "this server is no proxy")
            if not self._should_upgrade():
                return False
        self._size.require_head(self.url, self.headers)
        return True

    def _accept(self) -> None:
        """What comes now is the body of a request that gets an answer."""
        self._phase = BODY
        self._due += 1
        self._size.begin_body()

    def _hold(self, size: int) -> None:
        """Part of a body has come."""
        kept = self._size.add_body(size)
        if kept:
            self._held += kept
            self._all.hold(kept)

    def _let_go(self) -> None:
        self._all.held -= self._held
        self._held = 0

    # --- its time -----------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """End the connection if its client has kept it waiting for too long."""
        if self.transport.is_closing():
            return
        step = next_step(
            self._limits, self._phase, unread=self.transport.get_write_buffer_size(),
            due=self._due, messages=self._size.messages, paused=self.flow.read_paused,
            sent=self._size.sent,
        )
        # What a client sends meanwhile is no excuse for not reading its answers.
        if self._waiting.is_overdue(step, now) and (step.kind == "read" or not self._unread()):
            self._expire()

    def give_way(self) -> bool:
        """Whether it waits for its client to begin or to complete a head; then it ends at once."""
        if self._phase == BODY or self._due or self._unread():
            return False
        self.transport.close()
        return True

    def _expire(self) -> None:
        if self.transport.get_write_buffer_size() or self._refused is not None:
            self.transport.abort()
        elif self._phase == BETWEEN or (self._phase == BODY and self.cycle.response_complete):
            self.transport.close()  # it has every answer that it asked for
        else:
            what = "head" if self._phase == HEAD else "body"
            self._refuse(RequestRefused(408, "too_slow", f"the {what} of the request took too long "
                                        "to come"))

    def _unread(self) -> bool:
        """Whether the socket holds bytes that the event loop has not come to read."""
        if self.transport.is_closing():
            return False
        look = select.poll()
        look.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(look.poll(0))

    # --- its end ------------------------------------------------------------------------------

    def _refuse(self, refused: RequestRefused) -> None:
        """Answer with `refused` once what came before has its answers, and read nothing more."""
        if self._phase == BODY and not self.cycle.response_complete:
            self._due -= 1  # it needs no answer of its own
            if self.pipeline and self.pipeline[0][0] is self.cycle:
                self.pipeline.popleft()
            else:
                self._give_up()
        self._phase, self._refused = BETWEEN, refused
        self._let_go()
        self._all.note(refused)
        if not self._due:
            self._send_refusal(refused)

    def _give_up(self) -> None:
        """Let the request whose body is being read go without an answer of its own."""
        if self.cycle.response_started:
            self.transport.close()
        self.cycle.disconnected = True
        self.cycle.message_event.set()

    def _send_refusal(self, refused: RequestRefused) -> None:
        if self.transport.is_closing():
            return
        answer = answer_to(refused, "", "")
        request_id = id_for(dict(self.headers or ()).get(b"x-request-id"))
        parts = [STATUS_LINE[answer.status_code]]
        for name, value in (*self.server_state.default_headers, *answer.raw_headers,
                            (b"x-request-id", request_id), (b"connection", b"close")):
            parts += name, b": ", value, b"\r\n"
        self.transport.write(b"".join((*parts, b"\r\n", bytes(answer.body))))
        self.flow.resume_reading()
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)
