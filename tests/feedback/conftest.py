"""An installation's registry, and a model to be registered in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_assets.core.settings import Settings
from ml_assets.registry.models import ModelRegistry


@pytest.fixture
def registry(settings: Settings) -> ModelRegistry:
    return ModelRegistry(settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "factor.json").write_text("3.0")
    return made
