"""The time machine decides what the real replay decides, and the same in two runs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from ml_assets.automation.attempts import ASKED_TAG
from ml_assets.automation.instance import instance
from ml_assets.automation.jobs import RETRAINING
from ml_assets.core.errors import NotReady, UnknownName
from ml_assets.core.installation import claim
from ml_assets.core.model import FullBatch, HashedText
from ml_assets.core.policies import (
    DriftPolicy,
    Guardrails,
    RetrainingPolicy,
    RolloutPolicy,
    Worth,
)
from ml_assets.core.settings import Settings
from ml_assets.core.source import ArchivedEvent
from ml_assets.core.time import DAY, midnight
from ml_assets.ingest.archive import usable
from ml_assets.replay.api import Client
from ml_assets.replay.journey import Journey
from ml_assets.replay.league.faults import FAULTS, faulty
from ml_assets.replay.league.machine import Machine, Played, oracle
from ml_assets.replay.league.past import RecordedPast, recorded
from ml_assets.replay.league.policies import policy_of
from ml_assets.replay.live_days import LiveDays
from ml_assets.replay.together.travel import live_through
from ml_assets.targets import Binary, Cost
from tests.serving.kit import serving
from tests.toy import ToySource, with_stream
from tests.tracks import TRACKS
from tests.whole_loop import WHOLE, WholeLoop, repository_of

pytestmark = pytest.mark.slow

FIRST, LIVE, DAYS, PER_DAY = date(2024, 1, 1), date(2024, 1, 4), 7, 40
CHANGES = midnight(LIVE) + 2 * DAY
"""From then on cheap purchases are returned, and no longer dear ones; and most are dear."""


def purchases() -> Iterator[ArchivedEvent]:
    draw = random.Random(5)
    for number in range((LIVE - FIRST).days + DAYS):
        for place in range(PER_DAY):
            at = midnight(FIRST) + number * DAY + place * timedelta(minutes=30)
            amount = draw.uniform(1, 100) if at < CHANGES else draw.uniform(60, 100)
            likely = amount / 100 if at < CHANGES else 1 - amount / 100
            yield ArchivedEvent(
                event_id=f"p{number}-{place}", event_timestamp=at,
                request={"shop": f"shop {place % 5}", "note": f"note {place % 7}",
                         "amount": amount},
                outcome=draw.random() < likely)


TURNING = replace(
    with_stream(WHOLE, source=ToySource(history=tuple(purchases()))),
    calendar=replace(WHOLE.calendar, first_day=FIRST, go_live=LIVE),
    model=replace(WHOLE.model, network=HashedText(buckets=2**8), fit=FullBatch(iterations=8),
                  holdout=timedelta(hours=12)),
    # What has learnt that the world has turned says the opposite of the champion, as what is broken
    # may: the API would take it out, and the machine has no API.
    rollout=RolloutPolicy(shares=(0.3,), step_labels=15, deadline=timedelta(days=2),
                          at_deadline="promote", watch=timedelta(days=2),
                          guardrails=Guardrails(changed=None)),
    drift=DriftPolicy(window=DAY, persistence=1, min_events=20),
    retraining=RetrainingPolicy(
        after_labels=100, on_drift=True, on_fall=False, cooldown=timedelta(0),
        worth=Worth(training=4.0)),
)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedPast]:
    folder = tmp_path_factory.mktemp("past")
    with repository_of(folder / "repository", TURNING):
        (folder / "league").mkdir()
        yield recorded(TURNING, Settings(var=folder / "var"), folder / "league",
                       until=midnight(LIVE) + DAYS * DAY)


def play(past: Any, name: str, folder: Path, policy: RetrainingPolicy | None = None) -> Machine:
    place = folder / f"{name}-{len(list(folder.iterdir()))}"
    place.mkdir()
    worth = TURNING.retraining.worth
    assert worth is not None
    return Machine(past=past, name=name, folder=place,
                   policy=policy or policy_of(name, TURNING, worth))


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """What the real replay of these days decided: when, what, which; by API, jobs and sensors."""
    folder = tmp_path_factory.mktemp("real")
    settings = Settings(var=folder / "var", in_replay=True)
    claim(settings)
    loop = WholeLoop(settings=settings, system=TURNING)
    with (repository_of(folder / "repository", TURNING), pytest.MonkeyPatch.context() as patch):
        patch.setenv("DAGSTER_HOME", str(settings.dagster_home))
        opened = instance(settings)
        loop.begin(opened)
        with serving(loop) as http:
            (folder / "live").mkdir()
            live = LiveDays(usable(TURNING, TURNING.source.archive(Path())),
                            TURNING.calendar.live_from, folder / "live")
            runs = loop.runs
            journey = Journey(system=TURNING, settings=loop.settings, runs=runs, events=live,
                              until=LIVE + timedelta(days=DAYS), say=lambda at, text: None)
            api = Client(http=http, system="toy", server=cast("Any", None))
            journey.start(LIVE)
            for number in range(DAYS):
                live_through([journey], LIVE + timedelta(days=number), {"toy": api})
        trained = sorted(
            (datetime.fromisoformat(run.tags[ASKED_TAG]), run.tags["ml_assets/reason"])
            for run in opened.get_runs(dg.RunsFilter(job_name=RETRAINING.format("toy")))
            if ASKED_TAG in run.tags)
        records = loop.deployments.history("toy")
    return [
        [midnight(LIVE).isoformat(), "train", "first"],
        *([at.isoformat(), "train", kind] for at, kind in trained),
        *([each.at.isoformat(), each.action, str(each.about or each.version)]
          for each in records)]


def test_the_machine_decides_what_the_real_replay_decides(
    past: RecordedPast, replayed: list[list[str]], tmp_path: Path
) -> None:
    """Every training with its reason; every shadow, share, promotion and return, on its day."""
    played = play(past, "declared", tmp_path).play()
    assert played.decisions == replayed
    actions = {action for _, action, _ in played.decisions}
    assert {"train", "shadow", "canary", "promote"} <= actions


def test_two_runs_give_the_same_digest(past: RecordedPast, tmp_path: Path) -> None:
    """With every model trained anew; and another policy gives another one."""
    again = past.with_rows(past.rows, "again")
    first, second, other = (play(each, name, tmp_path).play().digest for each, name in (
        (past, "labels"), (again, "labels"), (past, "never")))
    assert first == second != other


def test_the_oracle_is_never_beaten_by_a_schedule_of_the_same_models(
    past: RecordedPast, tmp_path: Path
) -> None:
    """In traffic at once: so it is at most as dear as any other choice of days."""
    machine = play(past, "daily", tmp_path)
    days = [at for at, _ in machine.play().trainings]
    assert len(days) == DAYS + 1
    best = oracle(machine, days[:-1], 4.0)
    assert best.trainings[0][0] == days[0]
    for chosen in ([0], [0, 2], [0, 3, 5], list(range(DAYS))):
        total = 4.0 * (len(chosen) - 1)
        for place, k in enumerate(chosen):
            end = days[chosen[place + 1]] if place + 1 < len(chosen) else days[-1]
            rows = machine._between(days[k], end)
            total += float(TURNING.target.losses(
                TURNING.target.codes(machine.rows["truth"][rows].tolist()),
                machine.past.learn(days[k]).outputs_NW[rows]).sum())
        assert best.total(4.0) <= total + 1e-9


def test_a_costly_training_is_asked_for_less_often(past: RecordedPast, tmp_path: Path) -> None:
    """Cheap ones nearly each day on which no other is tried, dear ones never."""
    def retrainings(training: float) -> int:
        policy = policy_of("cost-aware", TURNING, Worth(training=training))
        return play(past, "cost-aware", tmp_path, policy).play().retrainings

    cheap, fair, dear = (retrainings(training) for training in (0.1, 2.0, 1000.0))
    assert cheap >= fair >= dear == 0
    assert cheap > 1


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_changes_what_comes_of_a_policy_and_nothing_before_it(
    past: RecordedPast, tmp_path: Path, fault: str
) -> None:
    """A fault is a world around the world: up to its day all answers are the same."""
    at = midnight(LIVE) + 3 * DAY
    sound = play(past, "daily", tmp_path).play()
    broken = play(faulty(past, (f"{fault}@{at.date()}",), at), "daily", tmp_path).play()
    assert broken.digest != sound.digest
    before = (sound.at < at).to_numpy()
    np.testing.assert_array_equal(sound.measure_M[before], broken.measure_M[before])
    assert [each for each in sound.decisions if each[0] < at.isoformat()] == [
        each for each in broken.decisions if each[0] < at.isoformat()]


def test_what_cannot_be_replayed_is_refused_in_words(
    past: RecordedPast, tmp_path: Path
) -> None:
    """Days that are not there, faults and policies that do not exist."""
    with pytest.raises(NotReady, match="nothing to replay"):
        recorded(TURNING, Settings(var=tmp_path), tmp_path, until=midnight(FIRST))
    with pytest.raises(UnknownName, match="hostile-feedback"):
        faulty(past, ("hostile",), midnight(LIVE))
    with pytest.raises(NotReady, match="no date"):
        faulty(past, ("drift@soon",), midnight(LIVE))
    with pytest.raises(UnknownName, match="weekly"):
        policy_of("week", TURNING, Worth(training=1.0))


def test_all_policies_are_counted_in_the_same(past: RecordedPast, tmp_path: Path) -> None:
    """Also those that weigh no cost: two that never retrain come to the same EUR, and the oracle
    to no more."""
    worth = Worth(training=1e9, measure="cost")
    paid = replace(past, system=replace(
        TURNING, retraining=replace(TURNING.retraining, worth=worth),
        target=Binary(name="returned", cost=Cost(miss=20.0, alarm=5.0, unit="EUR"))))
    machines = [play(paid, name, tmp_path, policy_of(name, paid.system, worth))
                for name in ("never", "cost-aware")]
    never, aware = (machine.play() for machine in machines)
    np.testing.assert_array_equal(never.measure_M, aware.measure_M)
    assert set(np.unique(never.measure_M)) == {0.0, 5.0, 20.0}
    best = oracle(machines[0], [at for at, _ in never.trainings], worth.training)
    assert best.total(1e9) <= never.total(1e9)


def test_drift_alone_is_a_reason(past: RecordedPast, tmp_path: Path) -> None:
    """Purchases became dearer: heard on the day after, and not before."""
    trainings = play(past, "drift", tmp_path).play().trainings
    assert [kind for _, kind in trainings[:2]] == ["first", "drift"]
    assert CHANGES < trainings[1][0] <= CHANGES + 2 * DAY


def test_recorded_slates_are_put_in_order_by_each_model(tmp_path: Path) -> None:
    """What was taken stays taken: each page costs 1 - NDCG once, whoever orders it, and all rows
    of a page are answered by one version."""
    with repository_of(tmp_path / "repository", TRACKS):
        (tmp_path / "league").mkdir()
        pages = recorded(TRACKS, Settings(var=tmp_path / "var"), tmp_path / "league",
                         until=TRACKS.calendar.live_from + 3 * DAY)
    (tmp_path / "daily").mkdir()
    machine = Machine(past=pages, name="daily", folder=tmp_path / "daily",
                      policy=policy_of("daily", TRACKS, Worth(training=1.0)))
    played = machine.play()
    assert len(played.trainings) == 4
    assert {action for _, action, _ in played.decisions} >= {"train", "promote", "shadow"}
    live = (pages.rows["event_timestamp"] >= TRACKS.calendar.live_from).to_numpy()
    slates = pages.rows["event_id"].str.split("#").str[0][live]
    taken = pages.rows["truth"][live].groupby(slates).any()
    assert (pd.Series(played.measure_M > 0).groupby(slates.to_numpy()).sum() <= 1).all()
    assert 0 < played.measure_M.sum() < taken.sum()
    assert (pd.Series(machine.by_N[live]).groupby(slates.to_numpy()).nunique() == 1).all()
    best = oracle(machine, [at for at, _ in played.trainings][:-1], 1.0)
    assert best.total(1.0) <= play_never(pages, tmp_path)


def play_never(past: RecordedPast, folder: Path) -> float:
    (folder / "never").mkdir()
    return Machine(past=past, name="never", folder=folder / "never", policy=policy_of(
        "never", past.system, Worth(training=1.0))).play().total(1.0)


def test_a_policy_is_worth_what_its_answers_and_its_trainings_cost() -> None:
    """A training at the end of the last day has nothing to answer, and is not counted."""
    played = Played(policy="x", measure_M=np.array([1.0, 2.0]), records=(),
                    at=pd.Series([midnight(LIVE), midnight(LIVE) + 1.5 * DAY]),
                    trainings=((midnight(LIVE), "first"), (midnight(LIVE) + DAY, "age"),
                               (midnight(LIVE) + 2 * DAY, "age")))
    assert played.retrainings == 1 and played.total(10.0) == 13.0
