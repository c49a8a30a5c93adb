"""A store that hangs is waited for a bounded time, and told; one that is watched, not at all."""

from __future__ import annotations

import logging
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


def test_a_watch_that_ends_keeps_nobody_from_the_store(
    objects_server: OwnObjects, objects_url: str
) -> None:
    store = StoreWatch(objects_url)
    with stopped(objects_server):
        store.look()
        store.stop()
    Bucket.parse(objects_url).require()
