"""Where a queue is, as people write it."""

from __future__ import annotations

import pytest

from ml_assets.core.errors import DeclarationError
from ml_assets.serving.broker.address import parse_address


@pytest.mark.parametrize(("text", "server", "name", "scope"), [
    ("nats://127.0.0.1:4222/visits", "nats://127.0.0.1:4222", "visits", ""),
    ("tls://ann:pw@nats.example/shop/shop.eu.%3E", "tls://ann:pw@nats.example", "shop",
     "shop.eu.>"),
    ("amqp://127.0.0.1:5672/visits", "amqp://127.0.0.1:5672", "visits", "/"),
    ("amqps://ann:p%40w@mq.example/lab/visits", "amqps://ann:p%40w@mq.example", "visits", "lab"),
    ("nats://[::1]:4222/visits", "nats://[::1]:4222", "visits", ""),
])
def test_an_address_names_server_and_queue(
    text: str, server: str, name: str, scope: str
) -> None:
    address = parse_address(text)
    assert (address.server, address.name, address.scope) == (server, name, scope)
    assert "pw" not in str(address) and "p%40w" not in str(address)
    assert address.dead.name == address.dead.dead.name == f"{name}-dead"


@pytest.mark.parametrize(("text", "says"), [
    ("visits", "'visits' is no address"),
    ("http://host/visits", "expected nats://"),
    ("nats://ann:secret@host:4222", "no address of a queue"),
    ("nats://ann:secret@host/a/b/c", "no address of a queue"),
    ("nats://ann:secret@host:port/a", "the port of 'host'"),
    ("kafka://host/visits", "Kafka is not supported"),
])
def test_what_names_no_queue_is_refused_without_its_password(text: str, says: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        parse_address(text)
    assert says in str(refused.value) and "secret" not in str(refused.value)
