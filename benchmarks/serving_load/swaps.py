"""Model versions that replace one another under load, unnoticed by clients."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from benchmarks.serving_load import ours, servers
from benchmarks.serving_load.installation import Installation
from benchmarks.serving_load.load import loading
from benchmarks.serving_load.plan import Outcome
from benchmarks.serving_load.speed import Effort, Meter, Series
from ml_assets.core.errors import MlAssetsError

WANTED_RATE = 1000.0
SWAP_S = 15.0
"""How long a deployed version may take until it answers."""


class NotSwapped(MlAssetsError, RuntimeError):
    """A deployed version did not start to answer."""


@dataclass(frozen=True, kw_only=True)
class Swaps:
    """A number of swaps at `rate_asked` requests per second.

    slowest_s: the longest time from the deployment until the new version answered
    """

    swaps: int
    rate_asked: float
    slowest_s: float
    outcome: Outcome


def swap_often(made: Installation, *, times: int, every_s: float = 1.0) -> Swaps:
    """Deploy versions 2 and 1 in turn, each once the previous one answers; see `rate_below`."""
    slowest = 0.0
    with ours.serving(made, "swapped") as server:
        rate = rate_below(made, server, WANTED_RATE)
        with loading(ours.plan(made, server, "swap-", rate=rate, warm_s=0.5)) as load:
            time.sleep(1)
            for swap in range(times):
                version, deployed = 2 - swap % 2, time.monotonic()
                made.deploy(version)
                while _loaded(server.port) != version:
                    if time.monotonic() - deployed > SWAP_S:
                        raise NotSwapped(f"version {version} does not answer after {SWAP_S:g} s: "
                                         f"{servers.get(server.port, ours.VERSION)[1]}")
                    time.sleep(0.02)
                slowest = max(slowest, time.monotonic() - deployed)
                time.sleep(max(0.0, every_s - (time.monotonic() - deployed)))
            load.stop()
            outcome = load.outcome()
    return Swaps(swaps=times, rate_asked=rate, slowest_s=slowest, outcome=outcome)


def rate_below(made: Installation, server: servers.Server, wanted: float) -> float:
    """`wanted`, or half of what the server can do if that is less: overload is another test."""
    series = Series(rate_asked=None)
    Meter(Effort(rounds=1, seconds=1.5, warm_s=1), name=f"probe-{server.name}").saturate(
        server, ours.target(made), series
    )
    return wanted if series.rate > 1.3 * wanted else series.rate / 2


def _loaded(port: int) -> int | None:
    status, body = servers.get(port, ours.VERSION)
    loaded: int | None = json.loads(body)["loaded"] if status == 200 else None
    return loaded
