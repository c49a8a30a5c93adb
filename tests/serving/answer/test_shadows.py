"""Shadows score what was answered, within bounds, and their faults reach nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pytest

from ml_assets.core.errors import LogUnavailable
from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog, Prediction
from ml_assets.registry.rollout import Shadow
from ml_assets.serving.answer import shadows as shadows_module
from ml_assets.serving.answer.shadows import Shadows
from ml_assets.serving.guardrails.guard import Guard
from ml_assets.serving.models.pool import ModelPool
from tests.serving.kit import NOON, FakeScorer, Toy, event


@dataclass(frozen=True, kw_only=True)
class CheckedScorer(FakeScorer):
    """Calls `before` whenever it scores."""

    before: Callable[[], None]

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        self.before()
        return super().outputs(texts, dense)


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    toy.act(Shadow(version=2))
    return toy


@pytest.fixture
def log(toy: Toy) -> EventLog:
    return EventLog(toy.settings.event_log)


def pool_of(toy: Toy) -> ModelPool:
    pool = ModelPool("toy", lambda: toy.deployments, lambda v: toy._load(toy.system, v),
                     lambda: NOON)
    pool.refresh()
    return pool


def shadows_of(toy: Toy) -> tuple[Shadows, Counter[str], ModelPool]:
    counts: Counter[str] = Counter()
    pool = pool_of(toy)
    guard = Guard(toy.system.rollout.guardrails, bounds=toy.system.target.bounds)
    return Shadows(pool, now=lambda: NOON, counts=counts, guard=guard), counts, pool


def answered(log: EventLog, number: int) -> Prediction:
    """A logged answer of version 1 about an amount of `number`."""
    prediction = Prediction(
        prediction_id=f"p{number}", system="toy", event_id=f"e{number}", event_timestamp=NOON,
        accepted_at=NOON, request="{}", features_as_of=NOON,
        features=np.array([number, np.nan], np.float32), feature_names=("amount", "returns_7d"),
        model_version=1, score=0.25, decision=False,
    )
    log.append([prediction])
    return prediction


def scores(log: EventLog) -> dict[tuple[str, int], float]:
    found = log.shadows.between("toy", NOON, NOON + timedelta(days=1))
    return {(each.prediction_id, each.model_version): each.score for each in found}


def test_every_shadow_scores_every_answer_from_the_features_of_the_answer(
    toy: Toy, log: EventLog
) -> None:
    toy.act(Shadow(version=4))
    shadows, counts, _ = shadows_of(toy)
    for number in range(3):
        shadows.add(answered(log, number), event())
    while len(shadows):
        shadows.turn(lambda: log)
    found = scores(log)
    assert set(found) == {(f"p{n}", version) for n in range(3) for version in (2, 4)}
    assert found["p2", 2] == pytest.approx(1 / (1 + np.exp(-(-1 + 2 / 10 + 5 / 100))))
    assert counts == {"shadowed": 6}


def test_without_shadows_nothing_waits(toy: Toy, log: EventLog) -> None:
    toy.act(Shadow(version=2, stop=True))
    shadows, counts, _ = shadows_of(toy)
    shadows.add(answered(log, 1), event())
    assert (len(shadows), counts) == (0, {})
    shadows.turn(lambda: pytest.fail("there is nothing to log"))


def test_a_turn_ends_in_time_and_takes_at_least_one_answer(
    toy: Toy, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def passes() -> None:
        clock[0] += 0.4 * shadows_module.TURN_SECONDS

    monkeypatch.setattr(shadows_module, "monotonic", lambda: clock[0])
    toy.models[2] = CheckedScorer(before=passes)
    shadows, _, _ = shadows_of(toy)
    for number in range(7):
        shadows.add(answered(log, number), event())
    waiting = []
    for _ in range(2):
        shadows.turn(lambda: log)
        waiting.append(len(shadows))
    monkeypatch.setattr(shadows_module, "TURN_SECONDS", 0.0)
    shadows.turn(lambda: log)
    assert [*waiting, len(shadows)] == [4, 1, 0]


@dataclass(frozen=True, kw_only=True)
class CountingScorer(FakeScorer):
    """Writes down how many rows it scores together, and takes `each` seconds for one."""

    sizes: list[int]
    clock: list[float]
    each: float

    def outputs(
        self, texts: Mapping[str, Sequence[str]], dense: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        self.sizes.append(len(dense))
        self.clock[0] += self.each * len(dense)
        return super().outputs(texts, dense)


@pytest.mark.parametrize(("each", "expected"), [
    (0.0, [1, 1, 2, 4, 8, 16, 8]), (0.025, [1, 1, 2, 4, 8, 16, 8]),
    (0.1, [1, 1, 2, 4, 2]), (0.4, [1, 1, 1]),
])
def test_ever_more_answers_are_scored_together_while_the_turn_lasts(
    toy: Toy, log: EventLog, monkeypatch: pytest.MonkeyPatch, each: float, expected: list[int]
) -> None:
    """As many as came before and as fit into the rest of the turn; the scores are the same."""
    clock, sizes = [0.0], list[int]()
    monkeypatch.setattr(shadows_module, "monotonic", lambda: clock[0])
    toy.models[2] = CountingScorer(sizes=sizes, clock=clock,
                                   each=each * shadows_module.TURN_SECONDS)
    shadows, _, _ = shadows_of(toy)
    for number in range(40):
        shadows.add(answered(log, number), event())
    shadows.turn(lambda: log)
    assert sizes == expected
    assert scores(log) == {
        (f"p{n}", 2): pytest.approx(1 / (1 + np.exp(-(n / 10 + 5 / 100))))
        for n in range(sum(sizes))
    }


def test_what_does_not_fit_is_dropped_and_counted(
    toy: Toy, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows_module, "LONGEST_QUEUE", 3)
    shadows, counts, _ = shadows_of(toy)
    for number in range(5):
        shadows.add(answered(log, number), event())
    assert (len(shadows), counts["shadow_dropped"]) == (3, 2)
    while len(shadows):
        shadows.turn(lambda: log)
    assert set(scores(log)) == {(f"p{n}", 2) for n in range(3)}


@pytest.mark.parametrize("broken", [
    FakeScorer(bias=float("nan")), FakeScorer(feature_names=("amount", "refunds_7d")),
])
def test_a_shadow_that_cannot_score_is_out_and_the_others_go_on(
    toy: Toy, log: EventLog, broken: FakeScorer
) -> None:
    toy.models[2] = broken
    toy.act(Shadow(version=4))
    shadows, counts, pool = shadows_of(toy)
    for number in range(2):
        shadows.add(answered(log, number), event())
    while len(shadows):
        shadows.turn(lambda: log)
    assert set(scores(log)) == {("p0", 4), ("p1", 4)}
    assert [(each.version, each.role) for each in pool.refusals] == [(2, "shadow")]
    assert counts == {"shadowed": 2}


def test_scores_that_cannot_be_logged_are_lost_and_counted(toy: Toy, log: EventLog) -> None:
    shadows, counts, _ = shadows_of(toy)
    for number in range(2):
        shadows.add(answered(log, number), event())

    def unavailable() -> EventLog:
        raise LogUnavailable("the disk is full")

    while len(shadows):
        with pytest.raises(LogUnavailable):
            shadows.turn(unavailable)
    assert counts == {"shadow_dropped": 2}
    assert scores(log) == {}
