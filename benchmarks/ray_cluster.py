"""A Ray cluster of this machine's own, on loopback, for tests and benchmarks."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from time import monotonic
from typing import Any

PATIENCE_S = 240.0
ATTEMPTS = 3
"""A node gives some of its agents a fixed 15 s to start, which a busy machine may not keep."""
OBJECTS = 100 * 2**20
"""Bytes of each node's object store: Ray's least is 75 MiB."""


@contextmanager
def cluster(cores: int, nodes: int = 1, *, jobs: bool = False, gpus: int = 0) -> Iterator[str]:
    """The address of a cluster whose nodes have so many cores, each a worker process.

    Without what only watches: its log monitor, its autoscaler, and its dashboard.

    jobs: with the dashboard, which takes them; gpus: that the head says it has
    """
    # Not pytest's folders, whose names are too long for a socket.
    with tempfile.TemporaryDirectory(
        prefix="ray", dir="/tmp", ignore_cleanup_errors=True,
    ) as folder:
        os.environ |= {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else it listens on network cards
            "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": folder,
            "RAY_agent_register_timeout_ms": f"{PATIENCE_S * 1000:.0f}",
        }
        started = _started_at_last({
            "num_cpus": cores, "num_gpus": gpus, "object_store_memory": OBJECTS,
            "include_dashboard": jobs, "include_log_monitor": False, "no_monitor": True,
        })
        try:
            for _ in range(nodes - 1):
                started.add_node(num_cpus=cores, object_store_memory=OBJECTS, wait=False,
                                 include_log_monitor=False, **_agents())
            started.wait_for_nodes()
            yield started.address
        finally:
            _disconnect()
            started.shutdown()


def _started_at_last(head: dict[str, Any]) -> Any:
    for _ in range(ATTEMPTS - 1):
        try:
            return _started({**head, **_agents()})
        except Exception:  # Ray has none of its own for this
            _disconnect()
    return _started({**head, **_agents()})


def _started(head: dict[str, Any]) -> Any:
    from ray._private import services, utils
    from ray.cluster_utils import Cluster

    seen, deadline = services.get_node, monotonic() + PATIENCE_S

    def patient(*arguments: Any) -> Any:
        while True:
            try:
                return seen(*arguments)
            except RuntimeError:  # the node has not registered yet
                if monotonic() > deadline:
                    raise

    # Ray gives a node 30 s, which on a busy machine its Python processes need for their imports.
    # They import less where what a dashboard needs seems to be missing.
    less = utils, "get_dashboard_dependency_error", lambda: ImportError("left out")
    with ExitStack() as patched:
        for owner, name, instead in ((services, "get_node", patient),
                                     *([] if head["include_dashboard"] else [less])):
            patched.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, instead)
        return Cluster(initialize_head=True, head_node_args=head)


def _agents() -> dict[str, int]:
    """Ports for a node's agents: for one that they choose, a node waits 15 s and then dies."""
    names = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port",
             "dashboard_agent_listen_port", "dashboard_port")
    with ExitStack() as stack:
        free = [stack.enter_context(closing(socket.socket())) for _ in names]
        for each in free:
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in zip(names, free, strict=True)}


def _disconnect() -> None:
    import ray

    ray.shutdown()
