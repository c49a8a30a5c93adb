"""Kills of the main job's processes, one after the other."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import psutil
from dagster import RunsFilter

from benchmarks.fault_load.place import END_S, Place, Running
from benchmarks.fault_load.traffic import Traffic
from benchmarks.serving_load.servers import is_ready
from ml_assets.automation.dead_runs import IN_PROGRESS, START_S, report_dead_runs
from ml_assets.automation.instance import instance
from ml_assets.core.settings import Settings
from ml_assets.ingest.lake import Lake
from ml_assets.systems.spam import SPAM

VICTIMS = ("replay", "api", "loader", "replay", "run", "api", "replay", "daemon", "api", "replay")
"""In ten kills; the seed decides their order and timing. The replay is killed most often because it
does most, from ingesting history to retraining."""
LATEST_S = {"replay": 20.0, "api": 6.0, "loader": 10.0, "run": 12.0, "daemon": 15.0}
"""A victim is killed after a time drawn from zero to this: starting, half-way, or at work."""
READY_S = 180.0
GIVEN_UP = 5
"""So many replays that ended by themselves: no other will come further."""
STOPPED = (0, 130, -signal.SIGINT)
"""A replay's exit status after Ctrl-C. Before it has begun, the signal ends Python itself."""

T = TypeVar("T")


@dataclass(kw_only=True)
class Kills:
    """What was done. missed: victims that had already ended; stuck: what did not continue."""

    made: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    stuck: list[str] = field(default_factory=list)
    days: int = 0

    @property
    def count(self) -> int:
        return sum(self.made.values())


@dataclass(kw_only=True)
class Harness:
    """One installation, a replay that is restarted again and again, a client beside it."""

    place: Place
    draw: random.Random
    done: Kills = field(default_factory=Kills)
    replay: Running | None = None
    stack: ExitStack = field(default_factory=ExitStack)

    def order(self, times: int) -> Iterator[str]:
        """The victims, each in its share of any ten, in a drawn order; each once in a short run."""
        if times <= len(set(VICTIMS)):
            yield from self.draw.sample(sorted(set(VICTIMS)), times)
            return
        for _ in range(0, times, len(VICTIMS)):
            yield from self.draw.sample(VICTIMS, len(VICTIMS))

    def kill_often(self, times: int, within_s: float, step: Callable[[str], None]) -> Kills:
        """At most that many, for that long, while there are days to replay; calls `step` for each.

        Given up once GIVEN_UP replays are stuck. A replay may be left running.
        """
        victims, ends = deque(self.order(times)), time.monotonic() + within_s
        while (self.done.count < times and time.monotonic() < ends and not self._at_the_end()
               and len(self.done.stuck) < GIVEN_UP):
            victim = victims.popleft()
            if getattr(self, f"_{victim}")(self.draw.uniform(0, LATEST_S[victim])):
                self.done.made[victim] += 1
                step(victim)
            else:
                self.done.missed += 1
                victims.append(victim)  # what it needs may be there later
        return self.done

    def finish(self, days: int) -> None:
        """Let the main job finish, undisturbed."""
        if self.replay is not None:
            self.replay.interrupt()
        self._await_dead_runs()
        last = self.place.replay(days)
        self.stack.callback(last.end)
        self.replay = last
        try:
            status = last.process.wait(900)
        except Exception:
            status = -1
        if status != 0:
            self.done.stuck.append(
                f"the last replay ended with {status}: {self.place.last_words()}")
        self.done.days = days

    def _await_dead_runs(self) -> None:
        """A training that a killed daemon had queued counts as dead only after a declared time."""
        deadline = time.monotonic() + START_S + 30
        with instance(self.place.settings) as opened:
            while time.monotonic() < deadline and opened.get_runs_count(
                RunsFilter(statuses=IN_PROGRESS)
            ):
                report_dead_runs(opened)
                time.sleep(1)

    def port(self) -> int | None:
        """Where the API of the replay listens now."""
        api = self.replay.api() if self.replay is not None else None
        try:
            command = api.cmdline() if api is not None else []
            return int(command[command.index("--port") + 1])
        except (psutil.Error, ValueError, IndexError):
            return None

    def _at_the_end(self) -> bool:
        """Whether a replay has finished: no recorded day is left."""
        return self.replay is not None and self.replay.process.poll() == 0

    def _up(self) -> Running:
        """The replay, started if it does not run."""
        if self.replay is None or not self.replay.alive:
            if self.replay is not None and self.replay.process.returncode not in (*STOPPED, -9):
                self.done.stuck.append(f"a replay ended with {self.replay.process.returncode}: "
                                       f"{self.place.last_words()}")
            self.replay = self.place.replay(self._days_ahead())
            self.stack.callback(self.replay.end)
        return self.replay

    def _days_ahead(self) -> int:
        """Always more than it has served, so it does not come to its end."""
        return self.days_closed() + 12

    def days_closed(self) -> int:
        """Live days that have been ingested."""
        return len(Lake(self.place.settings.lake).days(SPAM.name, "outcomes"))

    def _replay(self, after_s: float) -> bool:
        """Half of them while it starts, half once its API answers: the replay is at work then."""
        running = self._up()
        if self.draw.random() < 0.5:
            after_s /= 2
        else:
            self._await_ready(running)
        time.sleep(after_s)
        if not running.alive:
            return False
        running.kill()
        return True

    def _api(self, after_s: float) -> bool:
        """The replay must start another API and continue."""
        running = self._up()
        api = self._await(running, running.api)
        time.sleep(after_s)
        if api is None or not running.alive or not api.is_running():
            return False
        with suppress(psutil.NoSuchProcess):
            api.kill()
        time.sleep(3)
        if not running.alive:
            self.done.stuck.append("a replay ended with its API")
        return True

    def _await_ready(self, running: Running) -> None:
        def ready() -> bool:
            with suppress(OSError):
                return is_ready(self.port() or 0)
            return False

        self._await(running, ready)

    def _await(self, running: Running, look: Callable[[], T]) -> T:
        """The result of `look`, once it finds something or `running` has ended."""
        deadline = time.monotonic() + READY_S
        while not (found := look()) and running.alive and time.monotonic() < deadline:
            time.sleep(0.2)
        return found

    def _loader(self, after_s: float) -> bool:
        """Beside the replay; it stands on what has been closed."""
        self._up()
        if not self.place.settings.clock_file("spam").exists():
            return False
        return self._killed(self.place.loader(self.place.settings.clock_of("spam").now()), after_s)

    def _run(self, after_s: float) -> bool:
        """Without a replay beside it, because a replay retrains on its own."""
        self._down()
        return self._killed(self.place.training(), after_s)

    def _daemon(self, after_s: float) -> bool:
        self._down()
        return self._killed(self.place.daemon(), after_s)

    def _down(self) -> None:
        """The replay, interrupted as by Ctrl-C."""
        if self.replay is not None and self.replay.alive:
            status = self.replay.interrupt()
            if status not in STOPPED:
                self.done.stuck.append(f"an interrupted replay ended with {status}: "
                                       f"{self.place.last_words()}")
            self.replay = None

    def _killed(self, victim: Running, after_s: float) -> bool:
        self.stack.callback(victim.end)
        deadline = time.monotonic() + after_s
        while victim.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        was_alive = victim.alive
        if was_alive:
            victim.kill()
        return was_alive


@contextmanager
def harness(folder: Settings, seed: int) -> Iterator[tuple[Harness, Traffic]]:
    """A fresh installation with a client; everything is ended at the end."""
    place = Place(settings=folder)
    place.make()
    made = Harness(place=place, draw=random.Random(seed))
    traffic = Traffic(port=made.port)
    thread = threading.Thread(target=traffic.run, daemon=True)
    with made.stack:
        # What a shell starts in the background ignores Ctrl-C, and so would its children.
        made.stack.callback(
            signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))
        thread.start()
        try:
            yield made, traffic
        finally:
            traffic.stopping.set()
            thread.join(END_S)
