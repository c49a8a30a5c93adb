"""A NATS and a RabbitMQ server for the tests of a session, each started at its first use."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from benchmarks.broker_load.servers import Broker, broker, missing
from tests.serving.broker.queues import Queue

_names = itertools.count()


@pytest.fixture(scope="session")
def nats_server() -> Iterator[Broker]:
    with _serving("nats") as server:
        yield server


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[Broker]:
    with _serving("amqp") as server:
        yield server


@pytest.fixture(params=["nats", "amqp"])
def queue(request: pytest.FixtureRequest) -> Queue:
    """A queue of its own, on each kind of broker."""
    server = request.getfixturevalue(
        "nats_server" if request.param == "nats" else "rabbit_server")
    return Queue(server, f"queue{next(_names)}")


@contextmanager
def _serving(kind: str) -> Iterator[Broker]:
    lacks = missing(kind) or (None if find_spec("nats") and find_spec("pika") else
                              "the clients are missing: pip install -e '.[broker]'")
    if lacks is not None:
        if os.environ.get("CI"):
            pytest.fail(lacks)
        pytest.skip(lacks)
    with broker(kind) as server:
        yield server
