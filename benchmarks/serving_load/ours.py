"""Our API as the benchmark asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.serving_load import servers
from benchmarks.serving_load.checks import event_id
from benchmarks.serving_load.installation import Installation
from benchmarks.serving_load.plan import Check
from benchmarks.serving_load.speed import Target
from benchmarks.serving_load.system import PAYMENTS

PATH = f"/v1/{PAYMENTS.name}/predict"
VERSION = f"/v1/{PAYMENTS.name}/version"
CHECK = Check(kind="prediction", system=PAYMENTS.name)


def target(made: Installation) -> Target:
    return Target(name="ours", path=PATH, templates=made.templates, check=CHECK, wants_ids=True)


@contextmanager
def serving(made: Installation, name: str = "ours") -> Iterator[servers.Server]:
    """Our server over the installation, ready."""
    server = servers.start_ours(made.settings.var, port=servers.free_port(), name=name)
    with servers.running(server, lambda: servers.is_ready(server.port)):
        yield server


def body(made: Installation, prefix: str, number: int) -> str:
    """What the generator posts for event `number`."""
    template = made.templates[number % len(made.templates)]
    return f"{template.before}{event_id(prefix, number)}{template.after}"
