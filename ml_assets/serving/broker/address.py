"""Where a queue is: `nats://host:4222/NAME`, `amqp://host:5672/NAME`."""

from __future__ import annotations

from typing import Literal
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from ml_assets.core.errors import DeclarationError
from ml_assets.core.storage.places import without_secret

Kind = Literal["nats", "amqp"]
_KINDS: dict[str, Kind] = {"nats": "nats", "tls": "nats", "amqp": "amqp", "amqps": "amqp"}
_SHAPES = "nats://HOST:4222/STREAM[/SUBJECT] or amqp://HOST:5672/[VHOST/]QUEUE"
DEAD = "-dead"
"""What the name of a dead-letter queue ends with."""
REPLAY = "ml-assets-replay"
"""Who reads it: NATS lets nobody else read a stream whose messages go once they are taken."""


class BrokerAddress(Struct, frozen=True, kw_only=True):
    """One stream of NATS JetStream, or one queue of RabbitMQ.

    server: as the client libraries take it, with user and password if it has any
    shown: the server without them
    scope: NATS: the only subject that is read, "" for all; RabbitMQ: the virtual host
    """

    kind: Kind
    server: str
    shown: str
    name: str
    scope: str

    def __str__(self) -> str:
        return f"{self.shown}/{self.name}"

    @property
    def dead(self) -> BrokerAddress:
        """Where the messages go that cannot be taken in: those of such a queue, back to it."""
        if self.name.endswith(DEAD):
            return self
        scope = "" if self.kind == "nats" else self.scope
        return replace(self, name=f"{self.name}{DEAD}", scope=scope)


def parse_address(text: str) -> BrokerAddress:
    """Raises DeclarationError, which repeats no password, if `text` names no queue."""
    url = urlsplit(text)
    if url.scheme == "kafka":
        raise DeclarationError(
            "Kafka is not supported: its messages can be posted to /v1/<system>/events/<stream>"
            f"/batch, or bridged to a broker that is: {_SHAPES}")
    kind = _KINDS.get(url.scheme)
    parts = [unquote(part) for part in url.path.split("/") if part]
    if kind is None or not url.hostname or not 1 <= len(parts) <= 2:
        safe = without_secret(text) if url.scheme else text
        raise DeclarationError(f"{safe!r} is no address of a queue; expected {_SHAPES}")
    try:
        port = url.port
    except ValueError as error:
        raise DeclarationError(f"the port of {url.hostname!r} is no number: {error}") from error
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    host = host if port is None else f"{host}:{port}"
    user = f"{url.netloc.rpartition('@')[0]}@" if "@" in url.netloc else ""
    name, scope = (parts[0], parts[1] if len(parts) == 2 else "") if kind == "nats" else (
        parts[-1], parts[0] if len(parts) == 2 else "/")
    return BrokerAddress(kind=kind, server=f"{url.scheme}://{user}{host}",
                         shown=f"{url.scheme}://{host}", name=name, scope=scope)
