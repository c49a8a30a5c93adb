"""Plays several policies through a system's recorded days: `ml-assets replay <system>`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from ml_assets.core.errors import NotReady
from ml_assets.core.policies import Worth
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.core.time import DAY, midnight
from ml_assets.evaluation.benefits import measure_of
from ml_assets.replay.league.faults import faulty
from ml_assets.replay.league.machine import Machine, Played, oracle
from ml_assets.replay.league.past import Past, last_recorded, recorded
from ml_assets.replay.league.policies import ORACLE, policy_of

Say = Callable[[str], None]


def league(
    system: System, settings: Settings, *, policies: Sequence[str], faults: tuple[str, ...] = (),
    worth: Worth | None = None, days: int | None = None, live_from: date | None = None,
    say: Say = lambda text: None,
) -> list[Played]:
    """What came of each policy, in the order in which they are named.

    worth: what a training costs; that of the system's declaration unless given
    days: live days to play; all that are recorded unless given
    live_from: the first of them, that of the calendar unless given. To choose a policy by earlier
        days than those it is then reported on.
    """
    worth = worth or system.retraining.worth
    if worth is None:
        raise NotReady(f"what a training of {system.name!r} costs is not declared: give "
                       "--training-costs, or declare RetrainingPolicy(worth=Worth(training=...))")
    system = replace(system, retraining=replace(system.retraining, worth=worth))
    if live_from is not None:
        system = replace(system, calendar=replace(
            system.calendar, go_live=live_from,
            last_day=max(live_from, system.calendar.last_day or live_from)))
    until = last_recorded(system, settings)
    stretch = days or system.calendar.stretch
    if stretch is not None:
        until = min(until, system.calendar.live_from + timedelta(days=stretch))
    with TemporaryDirectory(prefix="ml_assets-league-") as folder:
        say("taking in the recorded days")
        past = recorded(system, settings, Path(folder), until=until)
        middle = system.calendar.live_from + (until - system.calendar.live_from) / 2
        return _played(faulty(past, faults, midnight(middle.date())), policies, worth,
                       Path(folder), say)


def _played(
    past: Past, policies: Sequence[str], worth: Worth, folder: Path, say: Say
) -> list[Played]:
    played, machines = dict[str, Played](), dict[str, Machine]()
    wanted = list(dict.fromkeys([*policies, *(["daily"] if ORACLE in policies else [])]))
    for name in wanted:
        if name == ORACLE:
            continue
        say(name)
        place = folder / f"policy-{name}"
        place.mkdir()
        machines[name] = Machine(past=past, name=name, folder=place,
                                 policy=policy_of(name, past.system, worth))
        played[name] = machines[name].play()
    if ORACLE in policies:
        say(ORACLE)
        days: list[datetime] = [at for at, _ in played["daily"].trainings]
        played[ORACLE] = oracle(machines["daily"], days, worth.training)
    return [played[name] for name in policies]


def described(system: System, worth: Worth) -> tuple[str, str]:
    """(the measure, what a training costs, in words)"""
    name = measure_of(replace(system, retraining=replace(system.retraining, worth=worth)))
    return name.replace("_", " "), f"a training costs {worth.training:g}"


def ends_of(played: Sequence[Played]) -> tuple[date, date]:
    """The first and the last day that was played."""
    at = played[0].at
    return at.iloc[0].date(), (at.iloc[-1] + DAY).date() - DAY
