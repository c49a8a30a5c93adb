"""The workers of a Ray cluster."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from ml_assets.core.errors import DeclarationError, MlAssetsError, NotReady, WorkersLost

try:
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
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

PLACED_S, HEARD_S = 60.0, 0.2
"""How long workers that must run together may be waited for; between two looks at them."""

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

    @property
    def gpus(self) -> int:
        return int(ray.cluster_resources().get("GPU", 0))

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
            # Not by force: a reply to a task that was forced to end aborts this process (Ray 2.60).
            for each in running:
                ray.cancel(each)

    def together(
        self, work: Callable[[Any, int], Result], shared: Any, count: int, *, gpus: bool,
        waiting: Callable[[], None],
    ) -> list[Result]:
        each = {"CPU": 1, "GPU": 1} if gpus else {"CPU": 1}
        group = ray.util.placement_group([each] * count, strategy="SPREAD")
        running: list[Any] = []
        try:
            if not group.wait(PLACED_S):
                raise NotReady(
                    f"{count} workers with {each} were asked for at once, and in {PLACED_S:.0f} s "
                    f"the Ray cluster did not give them; it has {ray.cluster_resources()}. Declare "
                    "fewer devices, or start more nodes")
            task = ray.remote(work).options(
                num_cpus=1, num_gpus=each.get("GPU", 0), max_retries=0, name=work.__name__,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group))
            common = ray.put(shared)
            running += [task.remote(common, number) for number in range(count)]
            return _all_of(running, waiting, work.__name__)
        finally:
            ray.util.remove_placement_group(group)  # ends what still runs in it


def _all_of(running: list[Any], waiting: Callable[[], None], name: str) -> list[Any]:
    """What all of them give. If one fails, the others fail as they miss it: its error is raised."""
    left = running
    while left:
        done, left = ray.wait(left, timeout=HEARD_S)
        waiting()
        if any(_error(each) is not None for each in done):
            also, _ = ray.wait(left, num_returns=len(left), timeout=PATIENCE_S) if left else ([], 0)
            failed = [error for each in [*done, *also] if (error := _error(each)) is not None]
            raise _worst(failed, name)
    return list(ray.get(running))


def _error(reference: Any) -> Exception | None:
    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        failed: Exception = error
        return failed
    return None


def _worst(failed: list[Exception], name: str) -> Exception:
    causes = [getattr(error, "cause", None) for error in failed]
    ours = next((cause for cause in causes if isinstance(cause, MlAssetsError)), None)
    if ours is not None:
        return ours
    if lost := [error for error in failed if not isinstance(error, ray.exceptions.RayTaskError)]:
        return WorkersLost(f"a worker of the Ray cluster was lost in {name}: {lost[0]}")
    return causes[0] or failed[0]


def _connect(address: str) -> None:
    """Raises WorkersLost."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address != "local":
        require_reachable(address)
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
    # One thread, as Ray has it for each CPU, even if this process is a job that was told more.
    return {name: os.environ[name] for name in names if name in os.environ} | {
        "OMP_NUM_THREADS": "1"}


def require_reachable(address: str) -> None:
    """Raises WorkersLost."""
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
