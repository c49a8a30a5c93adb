"""A server whose every answer a test decides, on a port of its own."""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ml_assets.ingest.log.served import prediction_id

SYSTEM = "payments"
Behave = Callable[[int], "Reply"]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """status and body of an answer; None as the body closes the connection instead."""

    status: int = 200
    body: str | None = ""
    close: bool = False


def right(number: int) -> Reply:
    """What our API would say to event `number` of a plan with the prefix `e-`."""
    return Reply(body=f'{{"prediction_id":"{prediction_id(SYSTEM, f"e-{number:010d}")}",'
                 '"model_version":3}')


@dataclass(kw_only=True)
class Stub:
    """The port, and the numbers of the events that came, in the order of arrival."""

    port: int
    asked: list[int] = field(default_factory=list)


@contextmanager
def stub(behave: Behave) -> Iterator[Stub]:
    """A server that answers event n, whose id ends in n, with `behave(n)`."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline():
                length = 0
                while (line := self.rfile.readline().strip().lower()):
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                found = re.search(rb'"e-(\d+)"', self.rfile.read(length))
                number = int(found[1]) if found else -1
                made.asked.append(number)
                reply = behave(number)
                if reply.body is None:
                    return
                head = (f"HTTP/1.1 {reply.status} X\r\nContent-Length: {len(reply.body)}\r\n"
                        f"{'Connection: close' if reply.close else 'X: y'}\r\n\r\n")
                self.wfile.write(f"{head}{reply.body}".encode())
                if reply.close:
                    return

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        made = Stub(port=server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
