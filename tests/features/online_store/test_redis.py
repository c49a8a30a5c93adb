"""The kept connections of the store in Redis: lost ones, threads, forks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ml_assets.features.online_store.versions import Column, PlainView, pack_payloads, versions_of
from tests.features.online_store.kit import key, registered

if TYPE_CHECKING:
    from ml_assets.features.online_store.redis.backend import RedisBackend

VIEW = PlainView(name="profile", keys=("customer",), columns=(Column("name", "String"),))
ENTITIES = 50


@pytest.fixture
def backend(redis_url: str) -> Iterator[RedisBackend]:
    """A store in which each entity's payload names it."""
    from ml_assets.features.online_store.redis.backend import RedisBackend

    backend = RedisBackend(redis_url, "kept connections")
    payloads = pack_payloads(
        VIEW, [], np.zeros((ENTITIES, 1), dtype=bool), [[*map(key, range(ENTITIES))]]
    )
    backend.put(registered(backend, VIEW), [
        (key(entity), 1, 0, payload) for entity, payload in enumerate(payloads)
    ])
    yield backend
    backend.close()


def reads_its_own(backend: RedisBackend, entity: int) -> bool:
    [blob] = backend.get(registered(backend, VIEW), [key(entity)])
    assert blob is not None
    return versions_of(blob)[0][2].endswith(key(entity))


def test_a_read_goes_on_after_its_connection_is_lost(
    backend: RedisBackend, redis_url: str
) -> None:
    import redis

    assert reads_its_own(backend, 1)
    for entity in (2, 3):
        redis.Redis.from_url(redis_url).client_kill_filter(_type="normal", skipme=True)
        assert reads_its_own(backend, entity)


def test_threads_that_read_at_once_get_their_own_answers(backend: RedisBackend) -> None:
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(
            lambda turn: reads_its_own(backend, turn % ENTITIES), range(20 * ENTITIES)
        ))


def test_a_fork_leaves_its_parents_connection_alone(backend: RedisBackend) -> None:
    assert reads_its_own(backend, 1)
    child = os.fork()
    if child == 0:
        os._exit(0 if all(reads_its_own(backend, entity) for entity in range(ENTITIES)) else 1)
    assert all(reads_its_own(backend, entity) for entity in range(ENTITIES))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_interrupted_read_leaves_no_answer_for_the_next(
    backend: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redis.connection import AbstractConnection

    assert reads_its_own(backend, 1)

    def interrupted(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AbstractConnection, "read_response", interrupted)
        backend.get(2, [key(2)])
    assert reads_its_own(backend, 3)
