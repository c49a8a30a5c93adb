"""What the process of a training asks for where clusters start it."""

from __future__ import annotations

from typing import Any

from ml_assets.core.model import Minibatch
from ml_assets.core.system import System

RAY, KUBERNETES = "dagster-ray/config", "dagster-k8s/config"
"""Tags of a run, or of the op of a step."""


def gpus_of(system: System, ray: str = "") -> int:
    """Those that the process itself needs. `device="auto"` takes what it finds and asks for none.

    ray: the cluster whose workers have the devices if there are several; empty if there is none
    """
    fit = system.model.fit
    if not isinstance(fit, Minibatch) or fit.device != "cuda" or (ray and fit.devices > 1):
        return 0
    return fit.devices


def resource_tags(system: System, ray: str = "") -> dict[str, Any]:
    """Tags by which Ray and Kubernetes give a training its GPUs; none if it needs none."""
    gpus = gpus_of(system, ray)
    return {} if not gpus else {
        RAY: {"num_gpus": gpus},
        KUBERNETES: {"container_config": {"resources": {"limits": {"nvidia.com/gpu": f"{gpus}"}}}},
    }
