"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_assets.core.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation of its own, empty."""
    return Settings(var=tmp_path / "var")
