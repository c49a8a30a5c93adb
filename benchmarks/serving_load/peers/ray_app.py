"""Ray Serve: one replica, its own setting for throughput. `ray_app.py MODEL PORT`.

With that setting a replica also listens directly, for a load balancer. PORT is that port: through
Ray's proxy a request costs several times as much.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from pathlib import Path

# Read when Ray is imported, here and in the processes that it starts.
os.environ["RAY_SERVE_THROUGHPUT_OPTIMIZED"] = "1"
os.environ["RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"] = sys.argv[2]
os.environ["RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT"] = str(int(sys.argv[2]) + 1)

import ray
from model import Exported
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig
from starlette.requests import Request

QUIET = LoggingConfig(log_level="ERROR", enable_access_log=False)


@serve.deployment(num_replicas=1, max_ongoing_requests=100, logging_config=QUIET)
class Payments:
    def __init__(self, folder: str) -> None:
        self.exported = Exported(Path(folder))

    async def __call__(self, request: Request) -> dict[str, float]:
        asked = await request.json()
        [score] = self.exported.score([asked["note"]], [asked["dense"]])
        return {"score": score}


def free_port() -> int:
    """For the proxy, which nobody calls."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1",
             object_store_memory=100_000_000, logging_level=logging.ERROR)
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=free_port()),
                logging_config=QUIET)
    serve.run(Payments.bind(sys.argv[1]), route_prefix="/")
    signal.pause()
