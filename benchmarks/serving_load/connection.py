"""One keep-alive connection of the load generator: a request out, its answer in."""

from __future__ import annotations

import re
import select
import socket
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
CHUNK = 65_536


@dataclass(slots=True)
class Asked:
    """A request on its way: its number, when it was meant to be sent, and when it was."""

    number: int
    meant: float
    sent: float = 0.0


@dataclass(slots=True)
class Answer:
    """A whole HTTP answer; `last`: the server closes the connection after it."""

    status: int
    body: bytes
    last: bool


class Broken(Exception):
    """The connection is no longer usable. Its argument is the kind of error."""


class Connection:
    """A non-blocking connection to a port of this machine. One request at a time.

    asked: the request in progress, None while it is idle
    """

    __slots__ = ("_out", "_poll", "_read", "_socket", "_waits", "asked", "fd")

    def __init__(self, port: int, poll: select.epoll) -> None:
        """Connect at once. Raises Broken("refused") if nobody listens."""
        self._poll = poll
        self._socket = socket.socket()
        self._out = b""
        self._waits = False
        self._read = bytearray()
        self.asked: Asked | None = None
        try:
            # On this machine it listens or not; only a full backlog makes callers wait.
            self._socket.settimeout(5)
            self._socket.connect(("127.0.0.1", port))
        except OSError as error:
            self._socket.close()
            raise Broken("refused") from error
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = self._socket.fileno()
        poll.register(self.fd, select.EPOLLIN)

    def close(self) -> None:
        self._socket.close()  # leaves the poll by itself

    def ask(self, asked: Asked, request: bytes) -> None:
        """Send `request`. Raises Broken("cut")."""
        self.asked = asked
        self._out = request
        self.write()

    def write(self) -> None:
        """Send what is left of the request."""
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise Broken("cut") from error
        if sent < len(self._out):
            self._poll.modify(self.fd, select.EPOLLIN | select.EPOLLOUT)
        elif self._waits:
            self._poll.modify(self.fd, select.EPOLLIN)
        self._out = self._out[sent:]
        self._waits = bool(self._out)

    def read(self) -> Answer | None:
        """The answer, once it is complete. Raises Broken("cut") if it cannot come."""
        try:
            part = self._socket.recv(CHUNK)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Broken("cut") from error
        if not part:
            raise Broken("cut")
        if self._read:
            self._read += part
            part = bytes(self._read)
        answer = parse(part)
        if answer is None:
            self._read[:] = part
        elif self._read:
            self._read.clear()
        return answer


def parse(received: bytes) -> Answer | None:
    """The HTTP/1.1 answer in `received`, None while it is not complete.

    Raises Broken("unreadable") if it does not say how long it is.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = _LENGTH.search(received, 0, end)
    if length is not None:
        whole = end + 4 + int(length[1])
        body = received[end + 4 : whole] if len(received) >= whole else None
    elif _CHUNKED.search(received, 0, end):
        body = _joined(received, end + 4)
    else:
        raise Broken("unreadable")
    if body is None:
        return None
    return Answer(int(received[9:12]), body, _CLOSE.search(received, 0, end) is not None)


def _joined(received: bytes, place: int) -> bytes | None:
    """The chunks from `place` on as one body, None while the last is missing."""
    body = bytearray()
    while (line := received.find(b"\r\n", place)) >= 0:
        size = int(received[place:line].partition(b";")[0], 16)
        if size == 0:
            return bytes(body) if received.startswith(b"\r\n", line + 2) else None
        body += received[line + 2 : line + 2 + size]
        place = line + 2 + size + 2
    return None
