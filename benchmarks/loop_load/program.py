"""`ml-assets` with the made-up system in place of those that the package declares.

    python -m benchmarks.loop_load.program FOLDER run cards

FOLDER gets the feature repository.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ml_assets import systems
from ml_assets.core.settings import ROOT

DECLARED = "from benchmarks.loop_load.features import *\n"


def main(folder: Path, arguments: list[str]) -> None:
    from benchmarks.loop_load.system import CARDS

    systems.SYSTEMS = (CARDS,)
    _declare(folder)

    from ml_assets.cli import main as ml_assets
    from ml_assets.replay import api

    api.PROGRAM = (sys.executable, "-m", "benchmarks.loop_load.program", str(folder))
    ml_assets(arguments)


def _declare(folder: Path) -> None:
    """Let the platform read a feature repository of its own, in `folder`."""
    from ml_assets.features import assets, store
    from ml_assets.features.manifest import load_manifest

    if not folder.exists():
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "feature_repo" / "feature_store.yaml", folder)
        (folder / "definitions.py").write_text(DECLARED)
    for reads in (load_manifest, store.open_store, store.apply_if_changed):
        reads.__defaults__ = (folder,)
    assets.REPO = folder


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
