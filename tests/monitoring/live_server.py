"""Serves the small mail system on the real stores: `live_server.py VAR WORKERS`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ml_assets.core.settings import Settings
from ml_assets.serving.server import serve
from tests.serving.test_real_stores import NOW, SMALL

LIVE = replace(SMALL, calendar=replace(SMALL.calendar, go_live=NOW.date()))
"""What was recorded on the days before is history."""

if __name__ == "__main__":
    settings = replace(Settings.from_environment(), var=Path(sys.argv[1]), port=0)
    serve(settings, [LIVE], workers=int(sys.argv[2]))
