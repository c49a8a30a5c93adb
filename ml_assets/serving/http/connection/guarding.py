"""A connection that holds its client to limits, before anything else looks at what came."""

from __future__ import annotations

import re
import select
from typing import Any

import httptools

from ml_assets.serving.contract.decoding import RequestRefused
from ml_assets.serving.http.connection.connections import Connections
from ml_assets.serving.http.connection.uvicorn_seam import STATUS_LINE, HttpToolsProtocol
from ml_assets.serving.http.middleware import id_for
from ml_assets.serving.http.responses import answer_to

BETWEEN, HEAD, BODY = range(3)
"""What a connection is in the middle of reading."""
UNREAD = ("unread",)
"""How the mark of a client begins that has an answer to read."""
LINGER_SECONDS = 2.0
"""So long a refused client may go on sending, to no effect: one that is cut off in the middle
often never reads why."""
_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_HOP = frozenset({b"upgrade", b"http2-settings"})


class GuardedProtocol(HttpToolsProtocol):
    """Uvicorn's connection, with bounds on what a client may send and how slowly.

    Uvicorn has none on the size of a head, the number of headers or the time that a request takes
    to come. It takes an offer to change to HTTP/2 for the end of HTTP, and answers what is sent
    behind a request that is no HTTP before the request. What the bounds are: see `Limits`.
    """

    def __init__(self, connections: Connections, **given: Any) -> None:
        super().__init__(**given)
        self.served = False
        self._all, self._limits = connections, connections.limits
        self._most_headers = self._limits.headers
        self._phase = BETWEEN
        self._messages = 0
        """How many have begun."""
        self._longer = 0
        """The message, by its number, whose head came in several pieces."""
        self._arrived = self._head_bytes = 0
        self._sent = self._body = self._pieces = 0
        """Of the body that is being read: bytes on the wire after its head, its own, and calls."""
        self._held = 0
        self._due = 0
        """Requests whose heads were read and that wait for their answers."""
        self._refused: RequestRefused | None = None
        self._mark: tuple[object, ...] | None = None
        self._since = 0.0

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
        self._arrived = len(data)
        try:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._go_on(memoryview(data)[upgrade.args[0]:])
            if self._phase:
                self._measure()
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
        if len(self.url) > self._limits.url_bytes:
            raise self._too_long()

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
        self._require_known_framing()
        self._name_host()
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
        self._messages += 1

    def _go_on(self, rest: memoryview) -> None:
        """Read on behind a head that offers to change to another protocol.

        RFC 9110, 7.8: a server may ignore the offer, and answers as if there were none.
        """
        while not self._should_upgrade():
            head = self._without_offer()
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.parser.feed_data(head)
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0]:]
        self.handle_websocket_upgrade()

    def _without_offer(self) -> bytes:
        """The head that was just read, as it would be if its client spoke HTTP/1.1 alone."""
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url,
                                     self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(token for token in (each.strip() for each in value.split(b","))
                                   if token.lower() not in _HOP)
            if name not in _HOP and (value or name != b"connection"):
                lines.append(name + b": " + value)
        return b"\r\n".join((*lines, b"", b""))

    # --- its size -----------------------------------------------------------------------------

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
        if self._longer == self._messages or self._arrived > self._limits.head_bytes:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._limits.head_bytes:
                raise self._too_large()
        return True

    def _accept(self) -> None:
        """What comes now is the body of a request that gets an answer."""
        self._phase = BODY
        self._due += 1
        self._sent = self._body = self._pieces = 0

    def _measure(self) -> None:
        """Count what has just come of a request that is not complete."""
        if self._phase == HEAD:
            if self._longer != self._messages:  # what came before it in this piece is not its own
                self._longer, self._head_bytes = self._messages, 0
                return
            self._head_bytes += self._arrived
            if self._head_bytes > self._limits.head_bytes:
                raise self._too_large()
            return
        limits = self._limits
        self._sent += self._arrived
        if limits.sent_bytes is not None and self._sent > limits.sent_bytes:
            raise RequestRefused(413, "body_too_large", f"more than {limits.sent_bytes:,} bytes "
                                 "were sent for one body")
        # What came with the head counts too, and is one piece of what the system hands over.
        if self._sent - self._body - 16 * self._pieces > limits.frame_bytes + 2**18:
            raise RequestRefused(400, "invalid_http", "the chunks of the body cost more than what "
                                 "is in them")

    def _hold(self, size: int) -> None:
        """Part of a body has come."""
        self._body += size
        self._pieces += 1
        if self._body <= self._limits.kept_bytes:
            self._held += size
            self._all.hold(size)

    def _let_go(self) -> None:
        self._all.held -= self._held
        self._held = 0

    def _require_known_framing(self) -> None:
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise RequestRefused(505, "unknown_version", f"this is HTTP/{version}; expected 1.1")
        if len(self.pipeline) >= self._limits.queued:
            raise RequestRefused(503, "overloaded", f"{self._limits.queued} requests wait on this "
                                 "connection already, which is as many as may")
        for name, value in self.headers:
            if name == b"transfer-encoding" and (
                value.strip().lower() != b"chunked" or version == "1.0"
            ):
                raise RequestRefused(501, "unknown_encoding", "Transfer-Encoding is "
                                     f"{value.decode('latin-1')[:40]!r} in HTTP/{version}; "
                                     "expected chunked in HTTP/1.1, or a Content-Length")

    def _name_host(self) -> None:
        """A whole URL in the first line says which host is meant, whatever `Host` says."""
        if absolute := _ABSOLUTE.match(self.url):  # RFC 9112, 3.2.2
            self.headers[:] = [(name, absolute[1] if name == b"host" else value)
                               for name, value in self.headers]

    def _too_large(self) -> RequestRefused:
        if len(self.url) > self._limits.url_bytes:
            return self._too_long()
        return RequestRefused(431, "head_too_large", "the head of the request has more than "
                              f"{self._limits.head_bytes:,} bytes")

    def _too_long(self) -> RequestRefused:
        return RequestRefused(414, "url_too_long", "the address has more than "
                              f"{self._limits.url_bytes:,} bytes")

    # --- its time -----------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """End the connection if its client has kept it waiting for too long."""
        if self.transport.is_closing():
            return
        seconds, mark = self._patience()
        if mark != self._mark:
            self._mark, self._since = mark, now
        elif now - self._since > seconds and (mark[:1] == UNREAD or not self._unread()):
            # What a client sends meanwhile is no excuse for not reading its answers.
            self._expire()

    def give_way(self) -> bool:
        """Whether it waits for its client to begin or to complete a head; then it ends at once."""
        if self._phase == BODY or self._due or self._unread():
            return False
        self.transport.close()
        return True

    def _patience(self) -> tuple[float, tuple[object, ...]]:
        """How many seconds the client has for its next step, and what changes with each step."""
        limits, unread = self._limits, self.transport.get_write_buffer_size()
        if unread:
            return limits.unread_seconds, (*UNREAD, unread)
        if self._phase == BETWEEN:
            if self._due:
                return float("inf"), ()
            return limits.idle_seconds, ("idle", self._messages)
        if self.flow.read_paused:
            return float("inf"), ()
        if self._phase == HEAD:
            return limits.head_seconds, ("head", self._messages)
        return (limits.body_seconds + self._sent / limits.body_rate), ("body", self._messages)

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
