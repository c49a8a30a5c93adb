"""The Dagster instance of an installation: its home folder and its settings."""

import os

import dagster as dg

from ml_assets.automation.jobs import TRAINING_TAG
from ml_assets.core.settings import Settings
from ml_assets.core.storage.files import write_atomically
from ml_assets.core.storage.layout import FILES
from ml_assets.core.storage.marker import note

POSTGRES_URL = "DAGSTER_POSTGRES_URL"
"""The variable that tells Dagster its database, so that no file holds the address."""
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
compute_logs:
  module: ml_assets.automation.dagster_storage
  class: KeptComputeLogs
  config:
    base_dir:
      env: DAGSTER_HOME
# Of runs that a code server executes; `automation/dead_runs.py` sees to all the others.
run_monitoring:
  enabled: true
  poll_interval_seconds: 30
"""

IN_FILES = """\
# One SQLite file for the events of all runs: by default each run has its own, and every
# event is written twice.
event_log_storage:
  module: ml_assets.automation.dagster_storage
  class: KeptEventLogStorage
  config:
    base_dir:
      env: DAGSTER_HOME
run_storage:
  module: ml_assets.automation.dagster_storage
  class: KeptRunStorage
  config:
    base_dir:
      env: DAGSTER_HOME
"""
IN_POSTGRES = f"""\
storage:
  postgres:
    postgres_url:
      env: {POSTGRES_URL}
"""
ATTEMPTS = 2
"""How often a run whose process dies is taken up again."""
ON_RAY = """\
  # A job that waits for a GPU: as long as Ray itself waits.
  start_timeout_seconds: 900
  # If the process of a run dies: steps that are jobs of their own go on, and are rejoined.
  max_resume_run_attempts: {resumed}
# Otherwise it is begun again; one whose step raised an error is not.
run_retries:
  enabled: true
  max_retries: {begun}
  retry_on_asset_or_op_failure: false
run_launcher:
  module: ml_assets.automation.ray_runs
  class: RunsOnRay
  config:
    address: {address}
"""
"""Behind DAGSTER_YAML, which ends with `run_monitoring`."""
DATABASES = tuple(about.name for about in FILES if about.name.startswith("dagster/"))


def prepare_home(settings: Settings) -> None:
    """Create the instance's folder, and point this process and its children at it.

    Raises DeclarationError if runs or steps are to be jobs of a Ray cluster and cannot be.
    """
    home = settings.dagster_home
    storage, launcher = IN_FILES, ""
    if "ray" in (settings.runs, settings.steps):
        from ml_assets.automation.ray_runs import require_no_password

        require_no_password(settings)
        if settings.runs == "ray":
            launcher = ON_RAY.format(
                address=settings.ray, begun=ATTEMPTS if settings.steps == "run" else 0,
                resumed=0 if settings.steps == "run" else ATTEMPTS)
    if settings.cluster is not None:
        from ml_assets.core.storage.postgres import make_room

        storage = IN_POSTGRES
        # Its NOTIFY has a parameter, which psycopg 3 leaves to the server, and that takes none.
        os.environ[POSTGRES_URL] = make_room(settings.cluster.dagster).sqlalchemy("psycopg2")
    said = f"{DAGSTER_YAML}{launcher}{storage}"
    write_atomically(home / "dagster.yaml", said.encode(), durable=False)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["ML_ASSETS_VAR"] = str(settings.var)
    # What one step says of its many partitions is stored in one transaction.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "500")


def instance(settings: Settings) -> dg.DagsterInstance:
    """The installation's Dagster instance; its runs and assets show in the UI."""
    prepare_home(settings)
    opened = dg.DagsterInstance.get()
    for name in DATABASES:
        if (settings.var / name).exists():
            note(settings.var / name)
    return opened
