"""Which systems `bench systems` measures."""

from __future__ import annotations

import pytest

from benchmarks.systems import measure, measured
from ml_assets.core.errors import UnknownName
from ml_assets.systems import REFERENCE


def test_the_systems_with_figures_come_in_the_order_of_their_declaration() -> None:
    assert list(measured()) == [name for name in REFERENCE if name in measured()]


def test_a_system_without_figures_is_said_so_before_any_is_measured() -> None:
    with pytest.raises(UnknownName, match="there is no system with a benchmark 'nothing'"):
        next(measure(quick=True, systems="nothing"))
