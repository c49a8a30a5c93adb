"""The workers of a Ray cluster."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from ml_assets.core.errors import DeclarationError, WorkersLost

try:
    import ray
except ImportError as error:
    raise DeclarationError(
        "ML_ASSETS_RAY is set, but Ray is not installed: pip install 'ml-assets[ray]', or unset it "
        "to compute in this process"
    ) from error

Result = TypeVar("Result")

ATTEMPTS = 4
"""How often a piece of work is begun before the workers count as lost: what Ray does unless told
otherwise."""

PATIENCE_S = 5.0
"""How long an address may take to answer. Ray itself asks a dead one for minutes."""

AHEAD = 2
"""Items on their way for each that runs, so no worker waits for the next one."""


class RayWorkers:
    """See `WorkerPool`. Each piece of work has one CPU of the cluster.

    address: `host:port` of the cluster's head, or `local` for a cluster of this machine's own,
        which ends with this process
    """

    def __init__(self, address: str) -> None:
        self.address = address
        if not ray.is_initialized():
            _connect(address)

    @property
    def count(self) -> int:
        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def map(
        self, work: Callable[[Any, Any], Result], shared: Any, items: Iterable[Any]
    ) -> Iterator[Result]:
        task = ray.remote(work).options(num_cpus=1, max_retries=ATTEMPTS - 1, name=work.__name__)
        common, rest = ray.put(shared), iter(items)
        running = deque(task.remote(common, item) for item in islice(rest, AHEAD * self.count))
        try:
            while running:
                result = _result(running[0], work.__name__)
                running.popleft()
                running.extend(task.remote(common, item) for item in islice(rest, 1))
                yield result
        finally:
            for each in running:
                ray.cancel(each, force=True)


def _connect(address: str) -> None:
    """Raises WorkersLost."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address != "local":
        _require_reachable(address)
    try:
        ray.init(address, configure_logging=False, log_to_driver=False,
                 runtime_env={"env_vars": _environment()})
    except (ConnectionError, RuntimeError) as error:
        raise WorkersLost(
            f"no Ray cluster can be used at {address!r}, which ML_ASSETS_RAY names: {error}"
        ) from error


def _environment() -> dict[str, str]:
    """What workers need of this process's: where the modules of its systems are."""
    names = ("ML_ASSETS_PROJECT", "PYTHONPATH")
    return {name: os.environ[name] for name in names if name in os.environ}


def _require_reachable(address: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S):
            return
    except OSError as error:
        raise WorkersLost(
            f"no Ray cluster answers at {address!r}, which ML_ASSETS_RAY names: {error}. Start its "
            "head with `ray start --head`, or correct the address"
        ) from error


def _result(reference: Any, name: str) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        # Ours, without Ray's wrapping; its traceback on the worker stays in the chain.
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise WorkersLost(
            f"{name} was begun {ATTEMPTS} times on the Ray cluster and each worker was lost: "
            f"{error}. Look at the cluster's memory and its nodes, then start it again"
        ) from error
