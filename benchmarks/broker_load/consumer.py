"""The real consumer of the films' stream: `consumer VAR ADDRESS`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.ranking_load import system as films
from ml_assets.core.settings import Settings
from ml_assets.core.system import System
from ml_assets.serving.answer.features import SystemState
from ml_assets.serving.broker.address import parse_address
from ml_assets.serving.broker.commands import consume
from ml_assets.serving.composition import Backends


def main(var: str, address: str) -> None:
    settings = Settings(var=Path(var))

    def state(system: System, connection: Any) -> SystemState:
        return films.open_state(settings, system, connection)

    consume(settings, films.SYSTEM, "watched", parse_address(address), create=True,
            backends=replace(Backends.of(settings), state=state))


if __name__ == "__main__":
    main(*sys.argv[1:])
