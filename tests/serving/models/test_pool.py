"""The pool follows the deployments, refuses loudly, and never leaves a gap."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import ModelRefused
from ml_assets.core.settings import Settings
from ml_assets.registry.deployments import Deployment
from ml_assets.registry.rollout import Canary, Promote, Rollback, Rollout, Shadow
from ml_assets.serving.models import pool as pool_module
from ml_assets.serving.models.pool import ModelPool
from tests.places import file_of
from tests.serving.kit import NOON, FakeScorer, Toy, wait_until
from tests.strategies import VERSIONS, rollouts


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
    assert (pool.current, pool.deployment, pool.refusals, pool.problem) == (None, None, (), None)


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
    [refusal] = pool.refusals
    assert (refusal.version, refusal.role) == (2, "champion")
    assert str(error) in refusal.reason
    assert "version 2 is refused, version 1 stays" in caplog.text
    toy.deploy(1)
    pool.refresh()
    assert pool.refusals == ()


def test_a_refused_version_is_tried_again_later(
    toy: Toy, pool: ModelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "RETRY_SECONDS", 0.3)
    toy.models[1] = OSError("the registry is locked")
    toy.deploy(1)
    pool.refresh()
    pool.start()
    assert pool.refusals
    toy.models[1] = FakeScorer()
    wait_until(lambda: loaded(pool) == 1)
    wait_until(lambda: not pool.refusals)


def test_a_record_that_cannot_be_read_is_a_problem_and_then_is_not(
    toy: Toy, pool: ModelPool, caplog: pytest.LogCaptureFixture
) -> None:
    toy.deploy(1)
    pool.start()
    wait_until(lambda: loaded(pool) == 1)
    path = file_of(toy.settings.deployments)
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


# --- several versions ---------------------------------------------------------------------


def doing(pool: ModelPool) -> Rollout:
    assert pool.lineup is not None
    return pool.lineup.rollout


def refused(pool: ModelPool) -> list[tuple[int, str]]:
    return [(each.version, each.role) for each in pool.refusals]


def test_all_versions_that_the_record_names_are_loaded_in_their_roles(
    toy: Toy, pool: ModelPool
) -> None:
    toy.deploy(1)
    toy.act(Canary(version=2, share=0.25))
    record = toy.act(Shadow(version=4))
    pool.refresh()
    assert pool.lineup is not None
    assert doing(pool) == record.state
    assert list(pool.lineup.models) == [1, 2, 4]
    assert [shadow.version for shadow in pool.lineup.shadows] == [4]
    arms = {pool.lineup.arm(f"shop {n}") for n in range(100)}
    assert {(arm.model.version, arm.role, arm.propensity) for arm in arms} == {
        (1, "champion", 0.75), (2, "challenger", 0.25),
    }


def test_a_version_that_stands_ready_is_not_loaded_again_and_one_that_was_let_go_is(
    toy: Toy, pool: ModelPool
) -> None:
    """Blue-green: both stand ready, so the swap takes no longer than a look."""
    toy.deploy(1)
    toy.act(Canary(version=2, share=0.1))
    pool.refresh()
    loads: list[int] = []
    toy.loading = loads.append
    toy.deploy(2)
    pool.refresh()
    assert (loaded(pool), loads) == (2, [])
    toy.act(Rollback())
    pool.refresh()
    assert (loaded(pool), loads) == (1, [1])


def test_versions_that_are_named_no_longer_are_let_go(toy: Toy, pool: ModelPool) -> None:
    scorers = [FakeScorer(), FakeScorer(), FakeScorer()]
    gone = [weakref.ref(scorer) for scorer in scorers]
    toy.models = {version: scorers.pop() for version in (3, 2, 1)}
    toy.deploy(1)
    toy.act(Canary(version=2, share=0.1))
    toy.act(Shadow(version=3))
    pool.refresh()
    toy.models.clear()
    toy.act(Promote(version=2, alone=True))
    toy.act(Shadow(version=3, stop=True))
    pool.refresh()
    gc.collect()
    assert [there() is not None for there in gone] == [False, True, False]


def test_a_refused_challenger_gets_no_traffic_and_the_champion_has_its_share(
    toy: Toy, pool: ModelPool, caplog: pytest.LogCaptureFixture
) -> None:
    toy.deploy(1)
    toy.act(Canary(version=3, share=0.5))
    pool.refresh()
    assert doing(pool).answering == (1,)
    assert refused(pool) == [(3, "challenger")]
    assert "version 3 is refused, the champion has its traffic" in caplog.text
    assert pool.lineup is not None
    assert pool.lineup.arm("any shop").propensity == 1.0


def test_a_refused_shadow_scores_nothing_and_the_others_stay(toy: Toy, pool: ModelPool) -> None:
    toy.deploy(1)
    toy.act(Shadow(version=3))
    toy.act(Shadow(version=2))
    pool.refresh()
    assert doing(pool).shadows == (2,)
    assert refused(pool) == [(3, "shadow")]


def test_in_place_of_a_refused_champion_the_one_before_stays_with_one_role(
    toy: Toy, pool: ModelPool
) -> None:
    """Also where the record makes it a challenger, and beside new challengers."""
    toy.deploy(1)
    pool.refresh()
    toy.deploy(3)
    toy.act(Canary(version=1, share=0.1))
    toy.act(Canary(version=2, share=0.2))
    pool.refresh()
    assert (doing(pool).version, doing(pool).answering) == (1, (1, 2))
    assert doing(pool).share(1) == 0.8
    assert refused(pool) == [(3, "champion")]


def test_a_champion_is_in_charge_before_its_challengers_are_loaded(
    toy: Toy, pool: ModelPool
) -> None:
    """A rollback is in a hurry; what else the record names is not."""
    toy.deploy(1)
    toy.act(Canary(version=4, share=0.1))
    toy.act(Promote(version=2, alone=True))
    pool.refresh()
    started, go_on = threading.Event(), threading.Event()

    def slow_challenger(version: int) -> None:
        if version == 4:
            started.set()
            go_on.wait(10)

    toy.loading = slow_challenger
    pool.start()
    toy.act(Rollback())
    assert started.wait(10)
    assert (doing(pool).version, doing(pool).answering) == (1, (1,))
    go_on.set()
    wait_until(lambda: doing(pool).answering == (1, 4))


def test_a_record_that_comes_while_another_loads_is_next(toy: Toy, pool: ModelPool) -> None:
    toy.deploy(1)
    pool.refresh()
    loads: list[int] = []

    def load(version: int) -> None:
        loads.append(version)
        if version == 2:
            toy.act(Rollback())

    toy.loading = load
    toy.act(Shadow(version=4))
    pool.refresh()
    toy.act(Promote(version=2))
    pool.refresh()
    assert loads == [4, 2]
    pool.refresh()
    assert (doing(pool).version, doing(pool).shadows) == (1, (4,))


def test_a_version_that_fails_to_score_is_out_until_the_next_record(
    toy: Toy, pool: ModelPool, caplog: pytest.LogCaptureFixture
) -> None:
    toy.deploy(1)
    toy.act(Canary(version=2, share=0.1))
    toy.act(Shadow(version=4))
    pool.refresh()
    for version in (2, 4, 2, 1, 9):
        pool.dismiss(version, ZeroDivisionError("a bug"))
    assert doing(pool).named == (1,)
    assert refused(pool) == [(2, "challenger"), (4, "shadow")]
    assert "version 2 is a challenger no longer, it failed to score" in caplog.text
    pool.refresh()
    assert doing(pool).named == (1,)
    toy.act(Canary(version=2, share=0.2))
    pool.refresh()
    assert (doing(pool).answering, refused(pool)) == ((1, 2), [])


class OneRecord:
    """A record that stands still."""

    def __init__(self, state: Rollout) -> None:
        self.record = Deployment(
            id=1, system="toy", version=state.version, challengers=state.challengers,
            shadows=state.shadows, salt=state.salt, previous=None, reason="r", by="b", at=NOON,
        )

    def sequence(self) -> int:
        return 1

    def current(self, system: str) -> Deployment | None:
        return self.record


@given(rollouts(), rollouts(), st.sets(VERSIONS), st.lists(st.text(), max_size=5))
def test_whatever_is_refused_every_key_is_answered_and_nobody_gains_but_the_champion(
    before: Rollout, after: Rollout, broken: set[int], keys: list[str]
) -> None:
    broken_now: set[int] = set()

    def load(version: int) -> FakeScorer:
        if version in broken_now:
            raise ModelRefused("broken")
        return FakeScorer()

    records = [OneRecord(before), OneRecord(after)]
    pool = ModelPool("toy", lambda: records[0], load, lambda: NOON)
    pool.refresh()
    broken_now |= broken
    records.pop(0)
    pool.refresh()
    assert pool.lineup is not None
    done = pool.lineup.rollout
    if after.version in broken and after.version not in before.named:
        assert done.version == before.version
    else:
        assert done.version == after.version
    for version in done.answering[1:]:
        assert done.share(version) == after.share(version)
    for key in keys:
        assert pool.lineup.arm(key).model.version in done.answering
    assert set(pool.lineup.models) == set(done.named)
    lost = set(after.named) - set(done.named)
    assert {each.version for each in pool.refusals} == lost
