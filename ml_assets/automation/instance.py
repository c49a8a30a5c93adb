"""The Dagster instance of an installation: its home folder and its settings."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import dagster as dg

from ml_assets.automation.jobs import TRAINING_TAG
from ml_assets.core.errors import NotReady
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import make_private, write_atomically
from ml_assets.core.storage.layout import FILES
from ml_assets.core.storage.marker import note

DAGSTER_YAML = f"""\
# Written by ml-assets; change ml_assets/automation/instance.py instead.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits:
      - key: {TRAINING_TAG}
        value: {{applyLimitPerUniqueValue: true}}
        limit: 1
# One SQLite file for the events of all runs: by default each run has its own, and every
# event is written twice.
event_log_storage:
  module: dagster._core.storage.event_log
  class: ConsolidatedSqliteEventLogStorage
  config:
    base_dir:
      env: DAGSTER_HOME
# Of runs that a code server executes; `automation/dead_runs.py` sees to all the others.
run_monitoring:
  enabled: true
  poll_interval_seconds: 30
"""

DATABASES = tuple(about.name for about in FILES if about.name.startswith("dagster/"))
REPLAY_LOCK = "replay.lock"
"""In the folder of each system."""
GLANCE_S = 0.2


def prepare_home(settings: Settings) -> None:
    """Create the instance's folder, and point this process and its children at it."""
    home = settings.dagster_home
    write_atomically(home / "dagster.yaml", DAGSTER_YAML.encode(), durable=False)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["ML_ASSETS_VAR"] = str(settings.var)


def instance(settings: Settings) -> dg.DagsterInstance:
    """The installation's Dagster instance; its runs and assets show in the UI."""
    prepare_home(settings)
    opened = dg.DagsterInstance.get()
    for name in DATABASES:
        if (settings.var / name).exists():
            note(settings.var / name)
    return opened


@contextmanager
def alone(settings: Settings, system: str) -> Iterator[None]:
    """Lock a system for its replay. Raises NotReady if another replay of it holds the lock."""
    with _lock_of(settings, system) as lock:
        if not _locked(lock):
            time.sleep(GLANCE_S)  # a sensor that checks for a replay holds it for a moment
            if not _locked(lock):
                raise NotReady(
                    f"another `ml-assets run {system}` is using {settings.var}. Wait for it, or "
                    "set ML_ASSETS_VAR to another folder"
                )
        yield


def _locked(file: IO[str]) -> bool:
    """Whether the lock is ours now. The kernel releases it if a process dies."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


def replay_elsewhere(settings: Settings, system: str) -> bool:
    """Whether another process replays this system in this installation now."""
    if settings.in_replay:
        return False
    with _lock_of(settings, system) as lock:
        return not _locked(lock)


def _lock_of(settings: Settings, system: str) -> IO[str]:
    path = settings.folder_of(system) / REPLAY_LOCK
    make_private(path)
    return path.open("a")
