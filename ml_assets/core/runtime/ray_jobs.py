"""Jobs of a Ray cluster: commands that run there, each in a process of its own."""

from __future__ import annotations

from ml_assets.core.errors import WorkersLost
from ml_assets.core.runtime.ray_workers import PATIENCE_S, require_reachable

# After the module above, which says what to do if Ray is not installed.
from ray.experimental.internal_kv import GcsClient  # isort: skip
from ray.job_submission import JobSubmissionClient  # isort: skip

DASHBOARD = b"dashboard"
"""Under which name, in a table of the same name, a head keeps the address of its dashboard."""


def job_client(address: str) -> JobSubmissionClient:
    """See `workers.jobs_at`. Jobs are taken by the dashboard, whose address the head knows."""
    require_reachable(address)
    try:
        # Ray's own function asks a head without a dashboard for 40 s.
        told = GcsClient(address=address).internal_kv_get(DASHBOARD, DASHBOARD, timeout=PATIENCE_S)
        if told is not None:
            return JobSubmissionClient(f"http://{told.decode()}")
        reason = "it has no dashboard"
    except Exception as error:  # Ray has none of its own for this
        reason = str(error).rstrip(".")
    raise WorkersLost(
        f"the Ray cluster at {address!r}, which ML_ASSETS_RAY names, takes no jobs, which "
        f"ML_ASSETS_RUNS or ML_ASSETS_STEPS ask for: {reason}. Start its head where ray[default] "
        "is installed, with `ray start --head --include-dashboard=true`"
    )
