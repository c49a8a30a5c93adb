"""A store that hangs is waited for a bounded time, and told; one that is watched, not at all."""

from __future__ import annotations

import logging
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic

import pytest

from ml_assets.core.errors import ObjectsUnavailable
from ml_assets.core.objects import bucket, watch
from ml_assets.core.objects.bucket import Bucket
from ml_assets.core.objects.copies import mounted
from ml_assets.core.objects.watch import StoreWatch
from ml_assets.core.profiles.own_objects import OwnObjects
from ml_assets.core.storage.files import write_atomically
from ml_assets.core.storage.mounts import current
from tests.own_server import hanging, stopped
from tests.serving.kit import wait_until


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Time-outs of half a second."""
    for name in ("READ_S", "STORE_S", "PROBE_S"):
        monkeypatch.setattr(bucket, name, 0.5)
    bucket._client.cache_clear()
    yield
    bucket._client.cache_clear()


def test_a_store_that_hangs_is_given_up_and_each_attempt_is_told(
    tmp_path: Path, objects_server: OwnObjects, objects_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Bucket.parse(objects_url)
    (tmp_path / "a").write_bytes(b"1")
    with hanging(objects_server):
        began = monotonic()
        for ask in (store.require, lambda: store.put(tmp_path / "a", "a")):
            with pytest.raises(ObjectsUnavailable, match=f"cannot reach {objects_url} at http"):
                ask()
        # Between attempts boto3 waits for up to a second, then two.
        assert monotonic() - began < 0.5 * (bucket.ATTEMPTS + bucket.STORE_ATTEMPTS) + 5
    said = [record.getMessage() for record in caplog.records if record.name == bucket.__name__]
    assert len(said) == bucket.ATTEMPTS + bucket.STORE_ATTEMPTS
    assert said[0].startswith("ListObjectsV2: attempt 1 at http")
    store.require()


@pytest.mark.parametrize("away", [hanging, stopped])
def test_while_a_watched_store_is_away_nobody_waits_for_it_and_afterwards_it_is_asked_again(
    away: Callable[[OwnObjects], AbstractContextManager[None]], tmp_path: Path,
    objects_server: OwnObjects, objects_url: str, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)
    folder = mounted(tmp_path / "copies", objects_url)
    write_atomically(folder / "a", b"1")
    store = StoreWatch(objects_url)
    store.start()
    try:
        assert store.problem is None
        with away(objects_server):
            wait_until(lambda: store.problem)
            assert f"cannot reach {objects_url} at http" in str(store.problem)
            began = monotonic()
            for _ in range(20):
                with pytest.raises(ObjectsUnavailable, match="See that the store runs"):
                    current(folder / "a")
            assert monotonic() - began < 0.3
        wait_until(lambda: store.problem is None)
        assert current(folder / "a").read_bytes() == b"1"
    finally:
        store.stop()
    said = [record.getMessage() for record in caplog.records if record.name == watch.__name__]
    assert [each.split(":")[0] for each in said] == [
        "the object store cannot be used", f"the object store {objects_url} answers again".split(
            ":")[0]]


def test_a_connection_that_was_closed_while_it_was_idle_is_no_store_that_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Servers close what is idle for as long as a watch waits between two looks."""
    for name, value in (("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"),
                        ("AWS_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    body = b'<?xml version="1.0"?><ListBucketResult><Name>b</Name></ListBucketResult>'
    head = ("HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\n"
            f"content-length: {len(body)}\r\n\r\n")
    answered: list[int] = []

    class Forgetful(socketserver.BaseRequestHandler):
        """Answers once, and hangs up when it is asked again."""

        def handle(self) -> None:
            self.request.recv(65536)
            answered.append(1)
            self.request.sendall(head.encode() + body)
            self.request.recv(65536)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close = True, False

    with Server(("127.0.0.1", 0), Forgetful) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_address[1]}")
        store = StoreWatch("s3://bucket")
        for _ in range(3):
            store.look()
            assert store.problem is None
        store.stop()
        bucket._client.cache_clear()
        server.shutdown()
    assert len(answered) == 3 and not caplog.records


def test_a_watch_that_ends_keeps_nobody_from_the_store(
    objects_server: OwnObjects, objects_url: str
) -> None:
    store = StoreWatch(objects_url)
    with stopped(objects_server):
        store.look()
        store.stop()
    Bucket.parse(objects_url).require()
