"""What a consumer makes of messages, whatever the broker: on a queue in memory."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from ml_assets.core.errors import DeclarationError, UnknownName
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.storage.patience import Patience
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.broker import consumer as consuming
from ml_assets.serving.broker.address import parse_address
from ml_assets.serving.broker.broker_metrics import ConsumerMetrics
from ml_assets.serving.broker.consumer import Consumer
from ml_assets.serving.broker.door import Door
from ml_assets.serving.broker.messages import BrokerMessage
from ml_assets.serving.composition import served_system
from tests.serving.broker.fakes import FakeQueue
from tests.serving.kit import LATER, NOON, Toy, asked, serving, wait_until
from tests.serving.shelf import SHELF, Shelf

ADDRESS = parse_address("nats://broker/queue")


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consuming, "TURN_SECONDS", 0.01)


@contextmanager
def served(toy: Toy) -> Iterator[ServedSystem]:
    system = served_system(toy.system, toy.settings, toy.backends(), SparseLog(), Patience(0.05))
    system.open()
    try:
        yield system
    finally:
        system.close()


def consume(
    toy: Toy, queue: FakeQueue, stream: str | None = "visits",
    until: Callable[[Consumer], object] = lambda consumer: False,
) -> Consumer:
    """Take all that waits, or until the consumer has come so far."""
    with served(toy) as system:
        consumer = Consumer(ADDRESS, Door(system, stream, SparseLog()), queue.open, SparseLog())
        consumer.run(lambda: not queue.waiting or bool(until(consumer)))
    return consumer


def visit(event_id: str | None = None, **of: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"event": {"shop": "corner", "page": "shoes", **of}}
    return body if event_id is None else {**body, "event_id": event_id}


def logged(toy: Toy, stream: str = "visits") -> list[str]:
    with closing(EventLog(toy.settings.event_log)) as log:
        return [each.event_id for each in log.told.between(
            toy.system.name, stream, NOON - timedelta(days=9), LATER)]


def writing(toy: Toy) -> sqlite3.Connection:
    """Another process that writes the log, until it rolls back or closes."""
    assert isinstance(toy.settings.event_log, Path)
    EventLog(toy.settings.event_log).close()
    other = sqlite3.connect(toy.settings.event_log, isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    return other


def test_a_message_is_taken_in_as_a_post_of_its_body_is(toy: Toy) -> None:
    """Also beside one: what was posted is not counted again."""
    with serving(toy) as client:
        assert client.post("/v1/toy/events/visits", json=visit("v1")).status_code == 200
    queue = FakeQueue()
    queue.put(visit("v1"), visit("v2"), visit("v2"))
    done = consume(toy, queue).consumed
    assert logged(toy) == ["v1", "v2"]
    assert (done.counts["stored"], done.dead) == (3, {})


def test_what_is_delivered_again_counts_once(toy: Toy) -> None:
    """The connection was lost after the events were stored, and before that was heard."""
    queue = FakeQueue(losses=2)
    queue.put(*(visit(f"v{n}") for n in range(300)))
    consumer = consume(toy, queue)
    assert len(logged(toy)) == 300 and queue.opened == 3
    assert consumer.consumed.waited["broker"] == 2


@pytest.mark.parametrize(("body", "code", "says"), [
    (b"{", "malformed_json", "truncated"),
    (b"\xff\xfe{", "unsupported_encoding", "UTF-16"),
    (visit("v2", seconds=-1), "unusable_event", "seconds is -1"),
    ({"event_id": "v2", "events": []}, "invalid_request", "events"),
    (visit("v1", page="hats"), "event_changed", "with another body"),
    (visit(None), "no_event_id", "would count twice"),
])
def test_what_cannot_be_taken_in_is_buried_with_its_reason(
    toy: Toy, body: object, code: str, says: str
) -> None:
    """Alone: what came before and after it is stored."""
    queue = FakeQueue()
    queue.put(visit("v1"), body, visit("v3"))
    [before] = [each.body for each in queue.waiting[1:2]]
    consumer = consume(toy, queue)
    assert logged(toy) == ["v1", "v3"]
    [letter] = queue.dead
    assert letter.body == before
    assert letter.headers["ml-assets-code"] == code
    assert says in letter.headers["ml-assets-reason"]
    assert letter.headers["ml-assets-subject"] == "visits"
    assert consumer.consumed.dead == {code: 1}


def test_the_id_of_a_message_is_that_of_its_event_if_the_body_has_none(toy: Toy) -> None:
    queue = FakeQueue()
    queue.put(visit(), message_id="m1")
    queue.put(visit("v1"), message_id="m2")
    queue.put(visit(), message_id="two\nlines")
    consume(toy, queue)
    assert logged(toy) == ["m1", "v1"]
    [letter] = queue.dead
    assert "control character" in letter.headers["ml-assets-reason"]
    assert letter.headers["ml-assets-message-id"] == r"two\nlines"


def test_subjects_name_the_streams_of_a_queue_with_several(toy: Toy) -> None:
    queue = FakeQueue()
    queue.put(visit("v1"), subject="toy.visits")
    queue.put(asked("p1"), subject="eu.toy.purchases")
    queue.put(visit("v2"), subject="toy.visit")
    consume(toy, queue, None)
    assert logged(toy) == ["v1"]
    with closing(EventLog(toy.settings.event_log)) as log:
        assert log.answer_to("toy", "p1") is not None
    [letter] = queue.dead
    assert letter.headers["ml-assets-code"] == "unknown_stream"
    assert "Closest: visits" in letter.headers["ml-assets-reason"]


def test_a_busy_log_slows_the_consumer_and_loses_nothing(toy: Toy) -> None:
    queue = FakeQueue()
    queue.put(*(visit(f"v{n}") for n in range(600)))
    with closing(writing(toy)) as other:

        def free() -> None:
            try:
                wait_until(lambda: queue.kept >= 3)
                held.append(len(queue.waiting))
            finally:
                other.execute("rollback")

        held: list[int] = []
        freeing = threading.Thread(target=free)
        freeing.start()
        consumer = consume(toy, queue)
        freeing.join()
    assert held == [600], "something was acknowledged before it was stored"
    assert len(logged(toy)) == 600 and not queue.dead
    assert consumer.consumed.waited["log"] >= 3


def test_who_is_told_to_stop_while_the_log_is_busy_gives_the_messages_back(toy: Toy) -> None:
    queue = FakeQueue()
    queue.put(visit("v1"))
    with closing(writing(toy)):
        consume(toy, queue, until=lambda consumer: consumer.consumed.waited["log"])
    assert len(queue.waiting) == 1 and not queue.dead and not logged(toy)


def test_questions_wait_for_a_model(settings: Settings) -> None:
    toy, queue = Toy(settings=settings), FakeQueue()
    queue.put(asked("p1"))

    def deploy(consumer: Consumer) -> bool:
        if consumer.consumed.waited["model"] == 1 and not toy.deployments.history("toy"):
            toy.deploy(1)
        return False

    consumer = consume(toy, queue, "purchases", until=deploy)
    assert consumer.consumed.counts["stored"] == 1 and consumer.consumed.waited["model"] >= 1


def test_a_system_of_slates_takes_in_its_other_streams(settings: Settings) -> None:
    shelf, queue = Shelf(settings=settings), FakeQueue()
    shelf.deploy(1)
    queue.put({"event_id": "c1", "event": {"user": "ann", "film": "film 03"}},
              {"event_id": "c2", "event": {"user": "ann"}}, subject="clicks")
    queue.put({"event_id": "a", "event": {"user": "ann", "hour": 20}}, subject="pages")
    consume(shelf, queue, None)
    assert logged(shelf, "clicks") == ["c1"]
    assert [each.headers["ml-assets-code"] for each in queue.dead] == [
        "unusable_event", "unknown_stream"]
    with served(shelf) as system, pytest.raises(DeclarationError, match="POST /v1/shelf/rank"):
        Door(system, "pages", SparseLog())


def test_a_stream_that_there_is_not_is_named(toy: Toy) -> None:
    with served(toy) as system, pytest.raises(UnknownName, match="Closest: visits"):
        Door(system, "visit", SparseLog())


def test_a_model_is_loaded_only_for_questions(toy: Toy) -> None:
    with served(toy) as system:
        assert Door(system, None, SparseLog()).asks and Door(system, "purchases", SparseLog()).asks
        assert not Door(system, "visits", SparseLog()).asks
    with served(Shelf(settings=toy.settings)) as system:
        assert not Door(system, None, SparseLog()).asks


def test_metrics_tell_the_lag_and_what_became_of_messages(toy: Toy) -> None:
    queue = FakeQueue()
    queue.put(visit("v1"), b"{", visit("v2"))
    consumer = consume(toy, queue)
    consumer.consumed.lag = 7
    registry = CollectorRegistry()
    registry.register(ConsumerMetrics("toy", str(ADDRESS), consumer.consumed))
    text = generate_latest(registry).decode()
    labels = 'queue="nats://broker/queue",system="toy"'
    for line in (f"ml_assets_consumed_messages_total{{{labels}}} 2.0",
                 f'ml_assets_dead_letters_total{{code="malformed_json",{labels}}} 1.0',
                 f"ml_assets_consumer_lag_messages{{{labels}}} 7.0"):
        assert line in text, text


def test_a_dead_letter_is_again_what_it_was(toy: Toy) -> None:
    """With what is wrong with it now, if it still cannot be taken in."""
    queue = FakeQueue()
    queue.put(visit(None, page="é"), subject="toy.visitors", message_id="é\\1")
    consume(toy, queue, None)
    [letter] = queue.dead
    again = BrokerMessage.of(letter.body, "queue-dead", letter.message_id, letter.headers,
                             position=None, redelivered=False, handle=None)
    assert (again.subject, again.message_id) == ("toy.visitors", "é\\1")
    assert json.loads(again.body) == visit(None, page="é")
    replayed = FakeQueue(waiting=[again])
    consume(toy, replayed, "visits")
    assert logged(toy) == ["é\\1"] and not replayed.dead
    assert SHELF.name != toy.system.name
