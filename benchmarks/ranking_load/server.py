"""Our own server for films and payments: `server VAR PORT`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.ranking_load import system as films
from benchmarks.serving_load import features as payments
from benchmarks.serving_load.system import PAYMENTS
from ml_assets.core.settings import Settings
from ml_assets.serving.composition import Backends
from ml_assets.serving.server import serve


def main(var: str, port: str) -> None:
    settings = Settings(var=Path(var), port=int(port))
    usual = Backends.of(settings)

    def state(system: Any, connection: Any) -> Any:
        opened = films if system is films.SYSTEM else payments
        return opened.open_state(settings, system, connection)

    def model(system: Any, version: int) -> Any:
        return (films.DrawnNetwork(version) if system is films.SYSTEM
                else usual.model(system, version))

    serve(settings, [PAYMENTS, films.SYSTEM], backends=replace(usual, state=state, model=model))


if __name__ == "__main__":
    main(*sys.argv[1:])
