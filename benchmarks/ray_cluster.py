"""A Ray cluster of this machine's own, on loopback, for tests and benchmarks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS = 100 * 2**20
"""Bytes of each node's object store: Ray's least is 75 MiB."""


@contextmanager
def cluster(nodes: int = 2, cores: int = 1) -> Iterator[str]:
    """The address of a cluster whose nodes have so many cores, each with its own processes."""
    # Not pytest's folders, whose names are too long for a socket.
    with tempfile.TemporaryDirectory(
        prefix="ray", dir="/tmp", ignore_cleanup_errors=True,
    ) as folder:
        os.environ |= {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else it listens on network cards
            "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": folder,
        }
        from ray.cluster_utils import Cluster

        started = Cluster(initialize_head=True, head_node_args={
            "num_cpus": cores, "object_store_memory": OBJECTS, "include_dashboard": False,
        })
        try:
            for _ in range(nodes - 1):
                started.add_node(num_cpus=cores, object_store_memory=OBJECTS, wait=False)
            started.wait_for_nodes()
            yield started.address
        finally:
            _disconnect()
            started.shutdown()


def _disconnect() -> None:
    import ray

    ray.shutdown()
