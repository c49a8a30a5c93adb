"""A server as a process of ours: started, waited for, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ml_assets.core.errors import NotReady
from ml_assets.core.runtime import keeper
from ml_assets.core.storage.files import make_private

LONGEST = 100 - len("/.s.PGSQL.5432")
"""Bytes that the name of a socket's folder may have: a socket's own may have 107."""
START_S, STOP_S = 60.0, 60.0


class ServerProcess:
    """A program that runs in `folder`, writes its `log` there, and ends with us however we end."""

    def __init__(self, name: str, folder: Path) -> None:
        """name: what people call it"""
        self._name, self._folder = name, folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, command: Sequence[str | Path], answers: Callable[[int], bool], *,
        environment: Mapping[str, str] | None = None, user: str | None = None,
    ) -> None:
        """Start it and wait until it answers. Raises NotReady, with the end of its log, if it does
        not.

        answers: whether the server of this process id does
        environment: beside ours; user: as whom it runs, if not as we
        """
        make_private(log := self._folder / "log")
        with log.open("ab") as output:  # another start may be using it
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, user=user,
                cwd=self._folder, start_new_session=True, preexec_fn=keeper.ending_with_us(),
                env=None if environment is None else {**os.environ, **environment})
        deadline = time.monotonic() + START_S
        while not answers(self._process.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise NotReady(f"{self._name} in {self._folder} does not start. {log} ends with:\n"
                               f"{log.read_text(errors='replace')[-1000:]}")
            time.sleep(0.05)

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the program. Raises NotReady unless it runs."""
        if self._process is None or self._process.poll() is not None:
            raise NotReady(f"{self._name} in {self._folder} does not run")
        return self._process.pid

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it; by `kill -9` if it does not end by itself."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def require_socket(folder: Path) -> None:
    """Raise NotReady if the folder's name is too long for a socket in it."""
    if len(str(folder).encode()) > LONGEST:
        raise NotReady(f"{folder} is too long a name for the folder of a socket, which may have "
                       f"{LONGEST} bytes: set ML_ASSETS_VAR to a shorter one")
