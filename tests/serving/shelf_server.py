"""Serves the shelf by the real `serve`, called as `toy_server` is."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ml_assets.core.settings import Settings
from ml_assets.serving.server import serve
from tests.serving.shelf import Shelf

if __name__ == "__main__":
    settings = replace(Settings.from_environment(), var=Path(sys.argv[1]), port=int(sys.argv[2]))
    shelf = Shelf(settings=settings)
    shelf.deploy(1)
    serve(settings, [shelf.system], workers=int(sys.argv[4]), backends=shelf.backends())
