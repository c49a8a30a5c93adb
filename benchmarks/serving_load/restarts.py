"""Processes that succeed one another on one listening socket, under load."""

from __future__ import annotations

import subprocess
import time
from contextlib import closing
from dataclasses import dataclass

from benchmarks.serving_load import ours, servers
from benchmarks.serving_load.installation import Installation
from benchmarks.serving_load.load import loading
from benchmarks.serving_load.plan import Outcome
from benchmarks.serving_load.swaps import rate_below

WANTED_RATE = 300.0
"""Two processes run side by side while one takes over; the machine has two cores."""
DRAIN_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """A number of hand-overs at `rate_asked` requests per second.

    slowest_s: the longest time from SIGTERM until the old process had ended
    killed: processes that had not ended after half a minute
    """

    restarts: int
    rate_asked: float
    slowest_s: float
    killed: int
    outcome: Outcome


def restart_often(made: Installation, *, times: int) -> Restarts:
    """Start the next beside the old one, wait until it is ready, SIGTERM the old one.

    The parent holds the socket, as a supervisor would: what waits in its queue is never lost,
    so an error is the server's own: a connection that it cut with a request on it.
    """
    slowest, killed = 0.0, 0
    with closing(servers.listen()) as listener:
        server = servers.start_ours(made.settings.var, listener=listener, name="restarted-0")
        try:
            _await(server)
            rate = rate_below(made, server, WANTED_RATE)
            plan = ours.plan(made, server, "restart-", rate=rate, warm_s=0.5, server=0)
            with loading(plan) as load:
                time.sleep(1)
                for restart in range(1, times + 1):
                    old, server = server, servers.start_ours(
                        made.settings.var, listener=listener, name=f"restarted-{restart}"
                    )
                    _await(server)
                    asked = time.monotonic()
                    old.terminate()
                    try:
                        old.process.wait(DRAIN_S)
                    except subprocess.TimeoutExpired:
                        killed += 1
                        old.kill()
                    slowest = max(slowest, time.monotonic() - asked)
                    time.sleep(0.5)
                load.stop()
                outcome = load.outcome()
        finally:
            server.stop()
    return Restarts(restarts=times, rate_asked=rate, slowest_s=slowest, killed=killed,
                    outcome=outcome)


def _await(server: servers.Server) -> None:
    """Until it has announced itself: a request would reach its neighbour on the same socket."""
    servers.await_ready(server, lambda: "The API answers on" in server.log.read_text())
