"""Locks of one system in its installation. The kernel releases them if a process dies, and so does
the server that hosts share.

`replay.lock`: one replay at a time. `serving.lock`: shared by the servers of the system; whoever
forgets the system holds it alone, because a server would go on answering with what it has loaded.
`asking.lock`: for the moment in which an automaton looks whether to train, and asks for it.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import make_private

REPLAY, SERVING, ASKING = "replay.lock", "serving.lock", "asking.lock"
GLANCE_S = 0.2


@contextmanager
def alone(settings: Settings, system: str) -> Iterator[None]:
    """Lock a system for its replay. Raises NotReady if another replay of it holds the lock."""
    with _file(settings, system, REPLAY) as lock:
        if not _locked(lock):
            time.sleep(GLANCE_S)  # a sensor that checks for a replay holds it for a moment
            if not _locked(lock):
                raise NotReady(
                    f"another `ml-assets run {system}` is using {settings.var}. Wait for it, or "
                    "set ML_ASSETS_VAR to another folder"
                )
        yield


def replay_elsewhere(settings: Settings, system: str) -> bool:
    """Whether another process replays this system in this installation now."""
    if settings.in_replay:
        return False
    with _file(settings, system, REPLAY) as lock:
        return not _locked(lock)


@contextmanager
def in_service(settings: Settings, systems: Iterable[str]) -> Iterator[None]:
    """Let nobody forget these systems meanwhile; waits for whoever does now."""
    with ExitStack() as stack:
        for system in systems:
            lock = stack.enter_context(_file(settings, system, SERVING))
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


@contextmanager
def out_of_service(settings: Settings, system: str) -> Iterator[None]:
    """Let no server start on this system meanwhile. Raises NotReady if one serves it."""
    with _file(settings, system, SERVING) as lock:
        if not _locked(lock):
            raise NotReady(
                f"an API serves {system!r} from {settings.var}, and would go on with what it has "
                "loaded. Stop `ml-assets serve` or `ml-assets ui` first; `ml-assets serve SYSTEM` "
                "can serve the other systems meanwhile"
            )
        yield


@contextmanager
def asking(settings: Settings, system: str) -> Iterator[None]:
    """Let no other automaton of the system ask for a training meanwhile, on no host; waits for
    whoever does.
    """
    with _file(settings, system, ASKING) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if settings.cluster is None:
            yield
            return
        from ml_assets.core.storage.postgres import held

        # A second daemon, on another host, would be a mistake: it finds what the first has asked.
        with held(settings.cluster.event_log, f"{ASKING} {system}"):
            yield


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def _file(settings: Settings, system: str, name: str) -> IO[str]:
    path = settings.folder_of(system) / name
    make_private(path)
    return path.open("a")
