"""A scratch installation of the spam filter, and the processes that run on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil

from ml_assets.automation.instance import prepare_home
from ml_assets.core.runtime import keeper
from ml_assets.core.settings import ROOT, Settings
from ml_assets.systems.spam import SPAM

PROGRAMS = Path(sys.executable).parent
END_S = 15.0
"""How soon the children of a killed process must have ended."""


@dataclass(kw_only=True)
class Place:
    """Everything under one folder. `left_behind`: processes that outlived their parent."""

    settings: Settings
    left_behind: list[str] = field(default_factory=list)

    def make(self) -> None:
        """Dagster's home, and the Feast repository that `feast` is called in."""
        prepare_home(self.settings)
        self.repository.mkdir(parents=True)
        for name in ("feature_store.yaml", "definitions.py"):
            text = (ROOT / "feature_repo" / name).read_text()
            (self.repository / name).write_text(text.replace("../var", str(self.settings.var)))

    @property
    def repository(self) -> Path:
        return self.settings.var.parent / "feature_repo"

    @property
    def log(self) -> Path:
        """What all processes have said."""
        return self.settings.var.parent / "said.log"

    def last_words(self) -> str:
        """The end of that log, on one line."""
        return " | ".join(self.log.read_text(errors="replace").split("\n")[-12:])[-1500:]

    def replay(self, days: int) -> Running:
        """The main job, up to that many live days."""
        return self._start("replay", [sys.executable, "-m", "ml_assets.cli", "run", SPAM.name,
                                      "--days", str(days)])

    def training(self) -> Running:
        """A retraining as a Dagster run in its own process."""
        return self._start("run", [str(PROGRAMS / "dagster"), "job", "execute", "-m",
                                   "ml_assets.definitions", "-j", f"{SPAM.name}_retraining"])

    def daemon(self) -> Running:
        """Dagster's daemon with its code servers, kept as `ml-assets ui` keeps it."""
        return self._start("daemon", [str(PROGRAMS / "dagster-daemon"), "run", "-w",
                                      str(ROOT / "workspace.yaml")], kept=True)

    def loader(self, until: datetime) -> Running:
        """`feast materialize` of all views, from going live on."""
        return self._start("loader", [
            str(PROGRAMS / "feast"), "-c", str(self.repository), "materialize",
            SPAM.calendar.live_from.replace(tzinfo=None).isoformat(),
            until.replace(tzinfo=None).isoformat(),
        ])

    def _start(self, name: str, command: Sequence[str], *, kept: bool = False) -> Running:
        env = {**os.environ, "ML_ASSETS_VAR": str(self.settings.var), "OMP_NUM_THREADS": "1",
               "DAGSTER_HOME": str(self.settings.dagster_home), "PYTHONPATH": str(ROOT)}
        with self.log.open("ab") as output:
            if kept:
                process = keeper.start(command, output=output, env=env, cwd=ROOT)
            else:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env,
                    cwd=ROOT, start_new_session=True, preexec_fn=keeper.ending_with_us(),
                )
        return Running(name=name, process=process, place=self, kept=kept)


@dataclass(kw_only=True)
class Running:
    """A process that the harness has started."""

    name: str
    process: subprocess.Popen[bytes]
    place: Place
    kept: bool

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def tree(self) -> list[psutil.Process]:
        """The process and its descendants; those that end meanwhile are left out."""
        try:
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def api(self) -> psutil.Process | None:
        """The API below a replay, once it has started."""
        for process in self.tree():
            try:
                command = process.cmdline()
            except psutil.Error:
                continue
            if "serve" in command and "--port" in command and not any(
                part.endswith("keeper.py") for part in command
            ):
                return process
        return None

    def kill(self) -> None:
        """Send kill -9 to it, or to its keeper's child; note what outlives it."""
        tree = self.tree()
        victim = tree[1] if self.kept and len(tree) > 1 else tree[0] if tree else None
        if victim is not None:
            _kill(victim)
        self.process.wait(END_S) if not self.kept else keeper.stop(self.process)
        below = [each for each in tree if each.pid != self.process.pid]
        for orphan in psutil.wait_procs(below, timeout=END_S)[1]:
            self.place.left_behind.append(f"{orphan.pid} of {self.name}")
            _kill(orphan)

    def interrupt(self) -> int:
        """Ctrl-C; its exit status. Killed if it has not ended after a minute."""
        self.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 60
        while self.alive and time.monotonic() < deadline:
            time.sleep(0.1)
        if self.alive:
            self.kill()
        return int(self.process.returncode)

    def end(self) -> None:
        """Runs at the end, even if the harness failed."""
        for process in reversed(self.tree()):
            _kill(process)
        self.process.wait()


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill()
