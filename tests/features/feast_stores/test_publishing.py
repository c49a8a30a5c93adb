"""Redis, as `publish-features` fills it: cut off, wiped or set back, it ends with the same bits."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ml_assets.broker_cli import publish_until
from ml_assets.core.profiles.own_postgres import OwnPostgres
from ml_assets.core.profiles.own_redis import OwnRedis
from ml_assets.core.settings import Settings
from ml_assets.features.store import client_config, open_store, publish_features
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.systems.spam import SPAM
from tests.features.loaded_mail import ASKED, NOON, answer_to
from tests.places import cluster_at
from tests.serving.kit import wait_until
from tests.serving.test_real_stores import mail

if TYPE_CHECKING:
    from feast import FeatureStore

pytestmark = pytest.mark.slow


@pytest.fixture
def redis_server(redis_url: str) -> Iterator[OwnRedis]:
    """redis_url: whether there is Redis at all."""
    with tempfile.TemporaryDirectory(prefix="redis", dir="/tmp") as folder:
        server = OwnRedis(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def settings(tmp_path: Path, postgres_url: str, redis_server: OwnRedis) -> Settings:
    cluster = cluster_at(postgres_url, tmp_path / "shared")
    return Settings(var=tmp_path / "var", cluster=replace(cluster, redis=redis_server.url))


@contextmanager
def published(settings: Settings) -> Iterator[None]:
    """In the block Redis follows the log, as by the command."""
    stopping = threading.Event()
    publish = publish_features(settings)
    thread = threading.Thread(target=publish_until, args=(stopping.is_set, publish))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


STRANGERS: list[object] = []
"""Kept, because Feast leaves the connections of its registry open."""


def stranger(settings: Settings) -> FeatureStore:
    """What somebody else opens, by the file that is given to him."""
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    store = FeatureStore(config=RepoConfig(**client_config(settings)))
    STRANGERS.append(store)
    return store


def features_of(store: FeatureStore) -> list[Any]:
    """What Feast's client reads for the senders of some mails, view by view."""
    views = [each for each in store.list_stream_feature_views()
             if set(each.join_keys) <= ASKED[0].keys()]
    assert views
    return [store.get_online_features(
        [f"{view.name}:{feature.name}" for feature in view.features],
        [{key: event[key] for key in view.join_keys} for event in ASKED],
    ).proto for view in views]


def event_logged(settings: Settings, n: int) -> None:
    at = NOON - timedelta(minutes=n)
    with closing(EventLog(settings.event_log)) as log:
        log.append([answer_to(n, {**SPAM.source.parse(mail(n)), "event_id": f"m{n}",
                                  "event_timestamp": at, "accepted_at": at})])


class Heard:
    """Whether something was said so far."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._said = capsys, ""

    def __call__(self, words: str) -> bool:
        found = self._capsys.readouterr()
        self._said += found.out + found.err
        return words in self._said


def lost(server: OwnRedis) -> None:
    """Its file is gone, as of one that keeps nothing."""
    for each in server.folder.glob("appendonlydir/*"):
        each.unlink()


def kept(server: OwnRedis) -> None:
    """All of its data is there again."""


@pytest.mark.parametrize("meanwhile", [kept, lost])
def test_a_redis_that_was_cut_off_is_waited_for_and_has_the_same_bits_afterwards(
    installed: Settings, redis_server: OwnRedis, capsys: pytest.CaptureFixture[str],
    meanwhile: Callable[[OwnRedis], None],
) -> None:
    own, reading = open_store(installed), stranger(installed)
    heard = Heard(capsys)
    with published(installed):
        wait_until(lambda: heard("applied"), 60)
        wait_until(lambda: features_of(reading) == features_of(own))
        redis_server.stop()
        wait_until(lambda: heard("cannot publish features"), 30)
        event_logged(installed, 100)
        meanwhile(redis_server)
        redis_server.start()
        wait_until(lambda: heard("features are published again"), 30)
        wait_until(lambda: features_of(reading) == features_of(own))


def test_a_log_that_was_cut_off_is_waited_for(
    installed: Settings, postgres_server: OwnPostgres, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = Heard(capsys)
    with published(installed):
        wait_until(lambda: heard("applied"), 60)
        postgres_server.crash()
        try:
            wait_until(lambda: heard("trying again"), 30)
        finally:
            postgres_server.start()
        event_logged(installed, 100)
        wait_until(lambda: heard("features are published again\n"), 30)
        wait_until(lambda: heard("applied 1 positions"), 30)


@pytest.mark.parametrize("asked_meanwhile", [False, True])
def test_a_store_that_follows_a_log_reads_on_once_it_is_there_again(
    installed: Settings, postgres_server: OwnPostgres, asked_meanwhile: bool
) -> None:
    """No process of Feast's has to be restarted."""
    own = open_store(installed)
    before = features_of(own)
    postgres_server.crash()
    try:
        if asked_meanwhile:
            with pytest.raises(Exception, match=r"(?i)connection"):
                features_of(own)
    finally:
        postgres_server.start()
    assert features_of(own) == before
    event_logged(installed, 100)
    assert features_of(own) != before


def test_a_redis_that_was_wiped_meanwhile_is_filled_anew(
    installed: Settings, redis_server: OwnRedis
) -> None:
    import redis

    own, reading = open_store(installed), stranger(installed)
    publish = publish_features(installed)
    assert publish() > 0
    assert publish() == 0
    for _ in range(2):
        redis.Redis.from_url(redis_server.url).flushall()
        assert publish() > 0
        assert features_of(reading) == features_of(own)
    assert publish() == 0


def test_a_redis_that_goes_back_to_an_earlier_snapshot_gets_what_came_after_it_again(
    installed: Settings, redis_server: OwnRedis
) -> None:
    """Though the log has not changed since all of it was applied."""
    import redis

    own, reading = open_store(installed), stranger(installed)
    publish, remembered = publish_features(installed), redis.Redis.from_url(redis_server.url)
    publish()
    snapshot = {key: remembered.dump(key) or b"" for key in remembered.scan_iter()}
    event_logged(installed, 100)
    assert publish() == 1
    remembered.flushall()
    for key, value in snapshot.items():
        remembered.restore(key, 0, value)
    assert features_of(reading) != features_of(own)
    assert publish() == 1
    assert features_of(reading) == features_of(own)
