"""Serves a small system on the real stores: `live_server.py VAR WORKERS [REPOSITORY]`.

It is the mail's, or the market's if a feature repository is given.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ml_assets.core.settings import Settings
from ml_assets.serving.server import serve
from tests.market import MARKET
from tests.repositories import repository_of
from tests.serving.test_real_stores import NOW, SMALL

LIVE = replace(SMALL, calendar=replace(SMALL.calendar, go_live=NOW.date()))
"""What was recorded on the days before is history."""

if __name__ == "__main__":
    settings = replace(Settings.from_environment(), var=Path(sys.argv[1]), port=0)
    if len(sys.argv) > 3:
        with repository_of(Path(sys.argv[3]), MARKET):
            serve(settings, [MARKET], workers=int(sys.argv[2]))
    else:
        serve(settings, [LIVE], workers=int(sys.argv[2]))
