"""On real brokers: nothing that was acknowledged is lost, nothing counts twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.broker_load.servers import free_port
from ml_assets.core.errors import StateDamaged
from ml_assets.core.runtime.sparse_log import SparseLog
from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.ingest.log.positions import identity_of
from ml_assets.serving.broker.address import REPLAY, parse_address
from ml_assets.serving.broker.clients import BrokerUnavailable, QueueMissing, open_sink, open_source
from ml_assets.serving.broker.commands import consume
from ml_assets.serving.broker.consumer import Consumer
from ml_assets.serving.broker.door import Door
from ml_assets.serving.broker.messages import Outgoing
from ml_assets.serving.broker.outbox import Outbox, PlaceFile, PublishedKind
from ml_assets.serving.broker.publisher import Publisher
from tests.serving.broker.queues import Queue
from tests.serving.broker.test_consumer import served, visit
from tests.serving.kit import Toy, asked, serving
from tests.serving.shelf import Shelf, click, films, look

READER = "ml-assets-toy-visits"


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


def logged(settings: Settings, system: str = "toy", stream: str = "visits") -> list[str]:
    """The ids of what was told, without holding anybody up."""
    assert isinstance(settings.event_log, Path)
    if not settings.event_log.exists():
        return []
    with closing(sqlite3.connect(f"{settings.event_log.as_uri()}?mode=ro", uri=True)) as log:
        try:
            return [event_id for (event_id,) in log.execute(
                "select event_id from told where system = ? and stream = ? order by seq",
                (system, stream))]
        except sqlite3.OperationalError:  # it is not made yet
            return []


def at_least(count: int, settings: Settings, system: str = "toy", stream: str = "visits") -> None:
    eventually(lambda: len(logged(settings, system, stream)) >= count)


def eventually(holds: Callable[[], object], seconds: float = 120) -> None:
    """As `wait_until`, with fewer looks: other processes do the work."""
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, f"it does not hold after {seconds} s"
        time.sleep(0.1)


def names(count: int, first: int = 0) -> list[str]:
    return [f"v{n}" for n in range(first, first + count)]


@contextmanager
def consuming(
    toy: Toy, queue: Queue, stream: str = "visits", metrics: int | None = None,
) -> Iterator[int]:
    """The real consumer in a process of its own, stopped by SIGTERM unless it is dead by then.

    Forked, which takes a tenth of the time that it takes to import all. Its id.
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            from ml_assets.serving.broker import jetstream

            jetstream.ACK_WAIT_S = 3.0
            consume(toy.settings, toy.system, stream, queue.address, backends=toy.backends(),
                    metrics=metrics)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    ended = False
    try:
        yield pid
        os.kill(pid, signal.SIGTERM)
        ended = True
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (0, -signal.SIGKILL)
    finally:
        if not ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def drain(
    toy: Toy, queue: Queue, count: int, stream: str = "visits", reader: str = READER,
) -> Consumer:
    """Take so many messages off it."""
    with served(toy) as system:
        consumer = Consumer(queue.address, Door(system, stream, SparseLog()),
                            lambda: open_source(queue.address, reader), SparseLog())
        ends = time.monotonic() + 120
        consumer.run(lambda: time.monotonic() > ends, most=count)
    assert sum(consumer.consumed.counts[kind] for kind in ("stored", "dead")) == count
    return consumer


def publish(
    settings: Settings, toy: Toy, queue: Queue, kind: PublishedKind, until: Callable[[Publisher],
    object], sink: Callable[[], Any] | None = None, **how: bool,
) -> Publisher:
    place = PlaceFile(settings, toy.system.name, kind, queue.address)
    outbox = Outbox(toy.system, kind, lambda: EventLog(settings.event_log), place)
    outbox.start(from_now=how.get("from_now", False))
    publisher = Publisher(queue.address, outbox, sink or (lambda: open_sink(queue.address)),
                          SparseLog())
    with closing(outbox):
        publisher.run(lambda: bool(until(publisher)))
    return publisher


def test_a_consumer_killed_in_the_middle_loses_nothing_and_counts_nothing_twice(
    toy: Toy, queue: Queue
) -> None:
    """Twice, at whatever it was doing; the third one is told to stop."""
    settings = toy.settings
    queue.make()
    queue.put([visit(each) for each in names(1500)])
    for stored in (300, 800):
        with consuming(toy, queue) as process:
            at_least(stored, settings)
            os.kill(process, signal.SIGKILL)
    port = free_port()
    with consuming(toy, queue, metrics=port):
        at_least(1500, settings)
        eventually(lambda: 'system="toy"} 0.0' in _lag(port))
    assert sorted(logged(settings)) == sorted(names(1500))
    assert queue.waiting() == 0


def _lag(port: int) -> str:
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    except httpx.TransportError:  # not yet started
        return ""
    return next((line for line in text.splitlines()
                 if line.startswith("ml_assets_consumer_lag_messages{")), "")


def test_a_broker_killed_in_the_middle_is_waited_for(toy: Toy, queue: Queue) -> None:
    """Two systems with nothing in common: one is told visits, one answers with slates."""
    settings, shelf = toy.settings, Shelf(settings=toy.settings)
    shelf.deploy(1)
    clicks = Queue(queue.server, f"{queue.name}clicks")
    for each in (queue, clicks):
        each.make()
    queue.put([visit(each) for each in names(1000)])
    clicks.put([{"event_id": each, "event": {"user": "ann", "film": "film 03"}}
                for each in names(400)])
    with consuming(toy, queue), consuming(shelf, clicks, "clicks"):
        at_least(300, settings)
        queue.server.kill()
        queue.server.start()
        queue.put([visit(each) for each in names(1000, 1000)])
        at_least(2000, settings)
        at_least(400, settings, "shelf", "clicks")
    assert sorted(logged(settings)) == sorted(names(2000))
    assert sorted(logged(settings, "shelf", "clicks")) == sorted(names(400))


def test_poison_goes_to_a_queue_of_its_own_and_comes_back_once_it_is_none(
    toy: Toy, queue: Queue
) -> None:
    queue.make()
    queue.put([visit("v1"), b"{", visit("v2", seconds=-1), visit(None), visit("v3")])
    drain(toy, queue, 5)
    assert queue.waiting() == 0
    assert logged(toy.settings) == ["v1", "v3"]
    letters = queue.dead()
    assert [each.body[:1] for each in letters] == [b"{"] * 3 and letters[0].body == b"{"
    assert [each.headers["ml-assets-code"] for each in letters] == [
        "malformed_json", "unusable_event", "no_event_id"]
    assert "seconds is -1" in letters[1].headers["ml-assets-reason"]
    # What was wrong is allowed by now; the other two are still what they were.
    replayed = Queue(queue.server, queue.address.dead.name)
    admission = "ml_assets.serving.answer.intake.admission.Admission"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{admission}._is_sound", lambda self, event: True)
        patch.setattr("ml_assets.ingest.contracts.rows.Contract.event",
                      lambda self, event: event)
        consumer = drain(toy, replayed, 3, reader=REPLAY)
    assert consumer.consumed.counts["dead"] == 2 and len(queue.dead()) == 2
    assert logged(toy.settings) == ["v1", "v3", "v2"]


def test_questions_from_a_broker_are_answered_into_another_queue(
    toy: Toy, queue: Queue
) -> None:
    """What the API answers is published too, in the order of the log, exactly as it was said."""
    queue.make()
    answers = Queue(queue.server, f"{queue.name}answers")
    answers.sink()
    with serving(toy) as client:
        first = client.post("/v1/toy/predict", json=asked("p0")).json()
    queue.put([asked(f"p{n}", amount=float(n)) for n in range(1, 300)])
    drain(toy, queue, 299, "purchases")
    publisher = publish(toy.settings, toy, answers, "predictions",
                        lambda done: done.published >= 300)
    found = answers.taken()
    assert [each["event_id"] for each in found] == [f"p{n}" for n in range(300)]
    assert {**first, "message_id": f"toy/{first['prediction_id']}"} == found[0]
    assert publisher.lag == 0


def test_who_publishes_after_a_crash_goes_on_where_the_broker_had_all(
    settings: Settings, queue: Queue
) -> None:
    """At most what was on its way comes again, under the same ids; nothing is left out."""
    shelf = Shelf(settings=settings)
    shelf.deploy(1)
    queue.sink()
    with serving(shelf) as client:
        click(client, "film 03")
        slates = [client.post("/v1/shelf/rank", json=look(f"page{n}", user=f"u{n}"))
                  for n in range(4)]
        for each in map(films, slates):
            assert len(each) == 3

        class Crash(Exception):
            pass

        class Crashing:
            def __init__(self) -> None:
                self.sink = open_sink(queue.address)

            def publish(self, messages: Any) -> None:
                self.sink.publish(messages)
                raise Crash

            def keep(self, wait_s: float) -> None: ...
            def close(self) -> None:
                self.sink.close()

        with pytest.raises(Crash):
            publish(settings, shelf, queue, "predictions", lambda done: False, Crashing)
        publish(settings, shelf, queue, "predictions", lambda done: done.published >= 12)
        client.post("/v1/shelf/rank", json=look("page4"))
        publish(settings, shelf, queue, "predictions", lambda done: done.published >= 3)
    found = queue.taken()
    once = list({each["message_id"]: each["event_id"] for each in found}.values())
    assert once == [f"page{n}#{row}" for n in range(5) for row in (1, 2, 3)]
    # NATS knows the ids of the last two minutes.
    assert len(found) == (15 if queue.server.kind == "nats" else 27)


def test_outcomes_are_published_as_they_become_known(toy: Toy, queue: Queue) -> None:
    queue.sink()
    with serving(toy) as client:
        said = client.post("/v1/toy/predict", json=asked("p0")).json()
        publish(toy.settings, toy, queue, "outcomes", lambda done: True, from_now=True)
        told = client.post("/v1/toy/feedback", json={
            "prediction_id": said["prediction_id"], "label": True, "source": "buyer"}).json()
    publish(toy.settings, toy, queue, "outcomes", lambda done: done.published >= 1)
    [found] = queue.taken()
    assert found["prediction_id"] == said["prediction_id"] and found["event_id"] == "p0"
    assert found["label"] is told["label"] is True and "known_at" in found


def test_a_queue_that_there_is_not_is_named(queue: Queue) -> None:
    with pytest.raises(QueueMissing, match=f"no (stream|queue) '{queue.name}'"):
        open_source(queue.address, READER)
    with closing(open_sink(queue.address)) as sink, pytest.raises(QueueMissing, match="--create"):
        sink.publish([Outgoing(body=b"{}", message_id="1", headers={})])


def test_a_broker_that_cannot_be_reached_is_named() -> None:
    for kind in ("nats", "amqp"):
        address = parse_address(f"{kind}://ann:secret@127.0.0.1:{free_port()}/queue")
        with pytest.raises(BrokerUnavailable, match="queue: ") as refused:
            open_source(address, READER)
        assert "secret" not in str(refused.value)


def test_the_folder_of_a_place_is_named_where_the_log_is_older(
    toy: Toy, tmp_path: Path
) -> None:
    """A restored log must not leave out what comes at positions that were published before."""
    place = PlaceFile(toy.settings, "toy", "predictions", parse_address("nats://host/scores"))
    with closing(EventLog(toy.settings.event_log)) as log:
        place.write(identity_of(log.connection), 7)
    outbox = Outbox(toy.system, "predictions", lambda: EventLog(toy.settings.event_log), place)
    with closing(outbox), pytest.raises(StateDamaged, match="an older one was restored"):
        outbox.start(from_now=False)
