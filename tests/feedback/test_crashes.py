"""The judgement of a day survives its end between any two steps, and another that runs at the
same time."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import pytest

from ml_assets.core.errors import NotReady
from ml_assets.core.policies import RolloutPolicy
from ml_assets.core.settings import ROOT, Settings
from ml_assets.core.time import DAY, EventClock, midnight
from ml_assets.feedback import judging
from ml_assets.feedback.judging import decide_day
from ml_assets.registry.deployments import Deployment, Deployments
from ml_assets.registry.models import ModelRegistry
from ml_assets.registry.rollout import Promote, Shadow
from tests.feedback.trial import FIRST, Trial
from tests.toy import TOY

POLICY = RolloutPolicy(shares=(0.1, 0.5), watch=timedelta(days=2))
SYSTEM = replace(TOY, rollout=POLICY)
DAYS = 10
Moment = Literal["before", "after", "aliases"]
"""When a process dies: before a record is written, after it, or before MLflow's aliases follow."""


def trial_of(var: Path) -> Trial:
    """A champion and a better challenger in its shadow, another one waiting."""
    settings, folder = Settings(var=var / "var"), var / "model"
    folder.mkdir(parents=True)
    (folder / "factor.json").write_text("3.0")
    registry = ModelRegistry(settings)
    for version in (1, 2, 3):
        registry.register("toy", folder, params={}, metrics={}, tags={})
        registry.log_evaluation("toy", version, {
            "system": "toy", "candidate": version, "champion": None, "gates": [],
            "largest_loss": 2.0})
    trial = Trial(settings=settings, system=SYSTEM, right={
        1: [0.7] * 10, 2: [0.8] * 10, 3: [0.75] * 10})
    for action in (Promote(version=1), Shadow(version=2)):
        trial.deployments.act("toy", action, reason="set up", by="tests", at=midnight(FIRST))
    return trial


def decide(trial: Trial, end: datetime) -> None:
    EventClock(trial.settings.clock_file("toy")).set(end)
    decide_day(trial.system, trial.settings, (end - DAY).date(), by="tests")


def told(trial: Trial) -> list[tuple[object, ...]]:
    """All records, without when they were written."""
    return [(each.action, each.about, each.state, each.reason, each.replaced)
            for each in trial.deployments.history("toy")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    trial = trial_of(tmp_path_factory.mktemp("undisturbed"))
    for _ in range(DAYS):
        decide(trial, trial.serve(1))
    records = told(trial)
    assert [each[0] for each in records] == [
        "promote", "shadow", "canary", "canary", "promote", "shadow", "shadow"]
    return records


class Killed(BaseException):
    """Nothing catches it, as nothing catches `kill -9`."""


def die(*_: Any, **__: Any) -> None:
    raise Killed


def killed(trial: Trial, end: datetime, moment: Moment, patch: pytest.MonkeyPatch) -> bool:
    """Judge the day until it dies at the moment; whether it came to that."""
    act = Deployments.act

    def fatal(self: Deployments, *args: Any, **kwargs: Any) -> Deployment:
        if moment == "before":
            raise Killed
        act(self, *args, **kwargs)
        raise Killed

    with patch.context() as patched:
        if moment == "aliases":
            patched.setattr(judging, "follow", die)
        else:
            patched.setattr(Deployments, "act", fatal)
        try:
            decide(trial, end)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("first", range(3))
def test_a_judgement_that_dies_between_two_steps_is_completed_by_the_next(
    first: int, tmp_path: Path, undisturbed: list[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each day one after the other dies at another moment, until one gets through."""
    trial, deaths = trial_of(tmp_path), 0
    dying: Iterator[Moment] = cycle(("before", "after", "aliases"))
    for _ in range(first):
        next(dying)
    for _ in range(DAYS):
        end = trial.serve(1)
        for moment in (next(dying), next(dying)):
            deaths += killed(trial, end, moment, monkeypatch)
        decide(trial, end)
    assert told(trial) == undisturbed
    assert deaths >= DAYS // 2
    assert ModelRegistry(trial.settings).aliased("toy", "champion") == 2


def test_of_two_judgements_at_once_each_step_is_taken_once(
    tmp_path: Path, undisturbed: list[tuple[object, ...]]
) -> None:
    trial = trial_of(tmp_path)

    def run(end: datetime) -> bool:
        meeting.wait()
        try:
            decide_day(trial.system, trial.settings, (end - DAY).date(), by="tests")
        except NotReady:
            return False  # the other one was first
        return True

    for _ in range(DAYS):
        end, meeting = trial.serve(1), threading.Barrier(2)
        EventClock(trial.settings.clock_file("toy")).set(end)
        with ThreadPoolExecutor(2) as pool:
            assert any(list(pool.map(run, [end, end])))
        decide(trial, end)
    assert told(trial) == undisturbed


RACER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from ml_assets.core.errors import NotReady
from ml_assets.registry.deployments import Deployments
from ml_assets.registry.rollout import Canary
record, won = Deployments(Path(sys.argv[1])), 0
for step in range(60):
    current = record.current("toy")
    try:
        record.act("toy", Canary(version=2, share=0.01 + step / 200 + int(sys.argv[2]) / 1000),
                   reason=f"{sys.argv[2]} {step} of {current.id}", by=sys.argv[2],
                   at=datetime(2024, 1, 1, tzinfo=UTC), expecting=current.id)
        won += 1
        print(won, flush=True)
    except NotReady:
        pass
"""


def test_of_two_processes_that_judge_the_same_record_one_wins_and_a_kill_leaves_whole_records(
    tmp_path: Path,
) -> None:
    record = Deployments(tmp_path / "deployments.sqlite")
    record.promote("toy", 1, reason="the first", by="tests", at=midnight(FIRST))
    both = [subprocess.Popen([sys.executable, "-c", RACER, str(record.place), number], cwd=ROOT,
                             stdout=subprocess.PIPE, text=True) for number in ("1", "2")]
    first = both[0].stdout
    assert first is not None and first.readline()
    both[0].send_signal(signal.SIGKILL)
    for each in both:
        each.communicate(timeout=120)
    assert [each.returncode for each in both] == [-signal.SIGKILL, 0]
    history = record.history("toy")
    judged = [int(each.reason.split()[-1]) for each in history[1:]]
    # Each record follows from the one that its decision was made on: none was judged twice.
    assert judged == [each.id for each in history[:-1]] and len(set(judged)) == len(judged)
    assert {each.by for each in history[1:]} == {"1", "2"}
    assert record.rollback("toy", reason="it goes on", by="tests", at=midnight(FIRST)).version == 1
