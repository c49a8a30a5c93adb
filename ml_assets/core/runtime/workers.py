"""Work for other processes: the seam between one machine and a cluster."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ml_assets.core.errors import DeclarationError

Result = TypeVar("Result")

LOOPBACK = ("local", "127.0.0.1:")
"""How an address begins that only this machine can reach."""


class WorkerPool(Protocol):
    """Processes, on any number of machines, that see the same folders as this one."""

    @property
    def count(self) -> int:
        """How many pieces of work run at once."""
        ...

    @property
    def gpus(self) -> int:
        """How many of them can have a GPU."""
        ...

    def map(
        self, work: Callable[[Any, Any], Result], shared: Any, items: Iterable[Any]
    ) -> Iterator[Result]:
        """`work(shared, item)` for each item, in their order.

        shared: sent to each machine once

        A few items are on their way at any time, so there may be any number of them. What a worker
        leaves unfinished when it dies is begun again, so `work` must tolerate running twice, even
        at once: it writes a file whole or not at all. Raises what `work` raises, and WorkersLost.
        """
        ...

    def together(
        self, work: Callable[[Any, int], Result], shared: Any, count: int, *, gpus: bool,
        waiting: Callable[[], None],
    ) -> list[Result]:
        """`work(shared, number)` for each number below `count`, all at the same time.

        gpus: each has a GPU, its `cuda:0`; waiting: called some times a second meanwhile

        Nothing is begun again: raises WorkersLost if a worker dies, and what `work` raises; then
        the others are stopped. Raises NotReady if the cluster has not got so many workers.
        """
        ...


def ray_address(text: str) -> str:
    """An address as `workers_at` takes it. Raises DeclarationError for any other text."""
    address = text.strip()
    if address not in ("", "local") and not re.fullmatch(r"[\w.-]+:\d{1,5}", address):
        raise DeclarationError(
            f"ML_ASSETS_RAY is {text!r}; expected host:port of the head of a Ray cluster, or "
            "local for one of this machine's own")
    return address


def workers_at(address: str) -> WorkerPool | None:
    """The workers of the Ray cluster at `address`; None if it is empty.

    address: `host:port` of its head, or `local` for one that ends with this process
    Raises DeclarationError if Ray is not installed, and WorkersLost if nothing answers there.
    """
    if not address:
        return None
    _stay_on_loopback(address)
    # Importing Ray takes a second, and it is an extra.
    from ml_assets.core.runtime.ray_workers import RayWorkers

    return RayWorkers(address)


def jobs_at(address: str) -> Any:
    """Ray's client of the jobs of the cluster at `address`: commands that run there.

    Raises DeclarationError if Ray is not installed, and WorkersLost if nothing answers there or
    what answers takes no jobs.
    """
    _stay_on_loopback(address)
    from ml_assets.core.runtime.ray_jobs import job_client

    return job_client(address)


def _stay_on_loopback(address: str) -> None:
    if address.startswith(LOOPBACK):
        # Otherwise Ray takes the address of a network card instead, and listens there. It reads
        # this, which is meant for other systems, as it is imported.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def shared_scratch(var: Path) -> Path:
    """The folder for what workers hand one another: part of the installation, as the lake is."""
    folder = var / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
