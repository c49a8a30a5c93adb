"""The pool follows the deployments, refuses loudly, and never leaves a gap."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ml_assets.core.settings import Settings
from ml_assets.serving import pool as pool_module
from ml_assets.serving.pool import ModelPool
from tests.serving.kit import NOON, FakeScorer, Toy, wait_until


@pytest.fixture
def toy(settings: Settings) -> Toy:
    return Toy(settings=settings)


@pytest.fixture
def pool(toy: Toy) -> Iterator[ModelPool]:
    made = ModelPool("toy", lambda: toy.deployments, lambda v: toy._load(toy.system, v),
                     lambda: NOON)
    yield made
    made.stop()


def loaded(pool: ModelPool) -> int | None:
    return pool.current.version if pool.current else None


def test_before_any_deployment_it_is_empty(pool: ModelPool) -> None:
    pool.refresh()
    assert (pool.current, pool.deployment, pool.refusal, pool.problem) == (None, None, None, None)


def test_it_loads_what_is_deployed_and_follows_also_back(toy: Toy, pool: ModelPool) -> None:
    toy.deploy(1)
    pool.refresh()
    assert loaded(pool) == 1
    pool.start()
    toy.deploy(2)
    wait_until(lambda: loaded(pool) == 2)
    toy.deployments.rollback("toy", reason="worse after all", by="test", at=NOON)
    wait_until(lambda: loaded(pool) == 1)
    assert pool.deployment is not None
    assert pool.deployment.reason == "worse after all"


def test_the_old_version_answers_while_the_new_one_loads(toy: Toy, pool: ModelPool) -> None:
    toy.deploy(1)
    pool.refresh()
    started, go_on = threading.Event(), threading.Event()

    def slowly(version: int) -> None:
        started.set()
        go_on.wait(10)

    toy.loading = slowly
    pool.start()
    toy.deploy(2)
    assert started.wait(10)
    assert loaded(pool) == 1
    go_on.set()
    wait_until(lambda: loaded(pool) == 2)


def test_a_version_is_loaded_once_however_often_it_looks(toy: Toy, pool: ModelPool) -> None:
    loads: list[int] = []
    toy.loading = loads.append
    toy.deploy(1)
    for _ in range(3):
        pool.refresh()
    toy.deployments.promote("another system", 9, reason="x", by="y", at=NOON)
    pool.start()
    pool.refresh()
    pool.stop()
    assert loads == [1]


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("wrong"), MemoryError("big")])
def test_whatever_fails_in_loading_refuses_the_version_and_keeps_the_old(
    toy: Toy, pool: ModelPool, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    toy.deploy(1)
    pool.refresh()
    toy.models[2] = error
    toy.deploy(2)
    pool.refresh()
    assert loaded(pool) == 1
    assert pool.refusal is not None
    assert pool.refusal.version == 2
    assert str(error) in pool.refusal.reason
    assert "version 2 is refused, version 1 stays" in caplog.text
    toy.deploy(1)
    pool.refresh()
    assert pool.refusal is None


def test_a_refused_version_is_tried_again_later(
    toy: Toy, pool: ModelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "RETRY_SECONDS", 0.3)
    toy.models[1] = OSError("the registry is locked")
    toy.deploy(1)
    pool.refresh()
    pool.start()
    assert pool.refusal is not None
    toy.models[1] = FakeScorer()
    wait_until(lambda: loaded(pool) == 1)
    assert pool.refusal is None


def test_a_record_that_cannot_be_read_is_a_problem_and_then_is_not(
    toy: Toy, pool: ModelPool, caplog: pytest.LogCaptureFixture
) -> None:
    toy.deploy(1)
    pool.start()
    wait_until(lambda: loaded(pool) == 1)
    path = toy.settings.deployments
    path.rename(path.with_suffix(".away"))
    path.mkdir()
    wait_until(lambda: pool.problem)
    assert "the deployments cannot be read" in caplog.text
    assert loaded(pool) == 1
    path.rmdir()
    path.with_suffix(".away").rename(path)
    toy.deploy(2)
    wait_until(lambda: loaded(pool) == 2)
    wait_until(lambda: pool.problem is None)
