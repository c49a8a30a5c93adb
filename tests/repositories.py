"""Feature repositories of small systems. Imports no more than a server that a test starts needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml_assets.core.settings import ROOT
from ml_assets.core.system import System
from ml_assets.features import assets as feature_assets
from ml_assets.features.manifest import load_manifest
from ml_assets.features.store import apply_if_changed, open_store


@contextmanager
def repository_of(folder: Path, *systems: System) -> Iterator[None]:
    """In the block the feature repository is one that declares `tests.<system>_features` of all.

    One that is there already stays as it is.
    """
    folder.mkdir(exist_ok=True, parents=True)
    if not (folder / "definitions.py").exists():
        shutil.copy(ROOT / "feature_repo" / "feature_store.yaml", folder)
        (folder / "definitions.py").write_text(
            "".join(f"from tests.{system.name}_features import *\n" for system in systems))
    with pytest.MonkeyPatch.context() as patch:
        for reads in (load_manifest, open_store, apply_if_changed):
            patch.setattr(reads, "__defaults__", (folder,))
        patch.setattr(feature_assets, "REPO", folder)
        yield
