"""Ray Serve: one replica, one proxy, its own setting for throughput. `ray_app.py MODEL PORT`."""

from __future__ import annotations

import logging
import signal
import sys
from pathlib import Path

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


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1",
             object_store_memory=100_000_000, logging_level=logging.ERROR)
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=int(sys.argv[2])),
                logging_config=QUIET)
    serve.run(Payments.bind(sys.argv[1]), route_prefix="/")
    signal.pause()
