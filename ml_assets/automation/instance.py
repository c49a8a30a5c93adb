"""The Dagster instance of an installation: its home folder and its settings."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ml_assets.automation.jobs import TRAINING_TAG
from ml_assets.core.errors import NotReady
from ml_assets.core.files import write_atomically
from ml_assets.core.layout import FILES
from ml_assets.core.marker import note
from ml_assets.core.settings import Settings

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
run_monitoring:
  enabled: true
"""

DATABASES = tuple(about.name for about in FILES if about.name.startswith("dagster/"))
REPLAY_LOCK = "replay.lock"


def prepare_home(settings: Settings) -> None:
    """Make the instance's folder, and point this process and its children at it."""
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
def alone(settings: Settings) -> Iterator[None]:
    """Hold the installation for a replay. Raises NotReady where another one holds it."""
    settings.var.mkdir(parents=True, exist_ok=True)
    with (settings.var / REPLAY_LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotReady(
                f"another `ml-assets run` is using {settings.var}. Wait for it, or set "
                "ML_ASSETS_VAR to another folder"
            ) from error
        yield


def replay_elsewhere(settings: Settings) -> bool:
    """Whether another process replays history in this installation now."""
    if settings.in_replay:
        return False
    try:
        with alone(settings):
            return False
    except NotReady:
        return True
