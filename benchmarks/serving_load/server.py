"""Our own server for the benchmark's system: `server VAR PORT`, or `server VAR fd:N`.

The real `serve` in its own process, on the installation in VAR. With `fd:N` it takes an inherited
listening socket, like one from a supervisor that replaces one process by the next.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.serving_load.features import open_state
from benchmarks.serving_load.system import PAYMENTS
from ml_assets.core.settings import Settings
from ml_assets.serving.composition import Backends
from ml_assets.serving.server import serve


def main(var: str, where: str) -> None:
    settings = Settings(var=Path(var))
    backends = replace(Backends.of(settings), state=lambda *of: open_state(settings, *of))
    if where.startswith("fd:"):
        with socket.socket(fileno=int(where.removeprefix("fd:"))) as listener:
            serve(settings, [PAYMENTS], backends=backends, listener=listener)
    else:
        serve(replace(settings, port=int(where)), [PAYMENTS], backends=backends)


if __name__ == "__main__":
    main(*sys.argv[1:])
