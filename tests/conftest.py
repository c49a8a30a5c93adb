"""Fixtures that all tests share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import settings as budget

from ml_assets.core.settings import Settings

# How long an example takes says more about what else the machine does than about the law.
budget.register_profile("law", deadline=None)
budget.load_profile("law")

# A shell in the background and nohup have these ignored, and every server that a test starts and
# stops by them would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation of its own, empty."""
    return Settings(var=tmp_path / "var")
