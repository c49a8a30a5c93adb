"""Our API as the benchmark calls it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.serving_load import servers
from benchmarks.serving_load.installation import Installation
from benchmarks.serving_load.plan import Check, Plan
from benchmarks.serving_load.speed import CONNECTIONS, Target
from benchmarks.serving_load.system import PAYMENTS
from benchmarks.serving_load.traffic import ENTITIES

PATH = f"/v1/{PAYMENTS.name}/predict"
VERSION = f"/v1/{PAYMENTS.name}/version"
CHECK = Check(kind="prediction", system=PAYMENTS.name)


def target(made: Installation) -> Target:
    return Target(name="ours", path=PATH, templates=made.templates, check=CHECK,
                  entities=ENTITIES)


@contextmanager
def serving(made: Installation, name: str = "ours") -> Iterator[servers.Server]:
    """Our server over the installation, ready."""
    server = servers.start_ours(made.settings.var, port=servers.free_port(), name=name)
    with servers.running(server, lambda: servers.is_ready(server.port)):
        yield server


def plan(made: Installation, server: servers.Server, prefix: str, /, **of: Any) -> Plan:
    """A plan for load on our server: `of` says how."""
    usual = {"connections": CONNECTIONS, "rate": None, "measured_s": 3600.0,
             "entities": ENTITIES, "server": server.pid}
    return Plan(port=server.port, path=PATH, templates=made.templates, check=CHECK,
                id_prefix=prefix, **{**usual, **of})
