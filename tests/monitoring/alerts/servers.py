"""Servers of their own for tests: a mailbox behind SMTP, and a webhook."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Mailbox:
    """What has arrived, by envelope: (recipients, message). refusals: so many messages are refused
    before one is taken."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.raw: list[bytes] = []
        self.refusals = 0
        self.port = 0


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A mail server by RFC 5321, as far as a client that sends needs it."""
    box = Mailbox()

    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            recipients: list[str] = []
            self.say("220 mailbox ESMTP")
            while line := self.rfile.readline():
                verb = line.decode().strip()
                word = verb.partition(" ")[0].upper()
                if word in ("EHLO", "HELO"):
                    self.say("250-mailbox")
                    self.say("250 8BITMIME")
                elif word == "RCPT":
                    recipients.append(verb.partition("<")[2].rpartition(">")[0])
                    self.say("250 ok")
                elif word == "DATA":
                    self.say("354 go on")
                    self.take(recipients)
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

        def take(self, recipients: list[str]) -> None:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            if box.refusals > 0:
                box.refusals -= 1
                self.say("451 try again later")
                return
            mail = message_from_bytes(b"".join(lines), policy=policy.default)
            assert isinstance(mail, EmailMessage)
            box.raw.append(b"".join(lines))
            box.mails.append((list(recipients), mail))
            self.say("250 taken")

        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Talk) as server:
        box.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield box
        server.shutdown()


class Hook:
    """Payloads that were posted, and their `Idempotency-Key`s. answers: statuses to come before
    200."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.answers: list[int] = []
        self.url = ""


@contextmanager
def webhook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            hook.keys.append(self.headers["Idempotency-Key"])
            status = hook.answers.pop(0) if hook.answers else 200
            if status == 200:
                hook.posted.append(body)
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.url = f"http://127.0.0.1:{server.server_address[1]}/alerts"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield hook
        server.shutdown()
