"""The league as people see it."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from rich.console import Console

from ml_assets.replay.league import table
from ml_assets.replay.league.machine import Played


def test_nothing_is_cut_off_in_a_terminal_of_eighty_columns() -> None:
    """Digests are compared between runs, so they are told whole."""
    at = pd.Series(pd.date_range("2024-01-01", periods=3, freq="D", tz="UTC"))
    played = [Played(policy=name, at=at, measure_M=np.array([9_000.0, lost, 0.0]), records=(),
                     trainings=[(day.to_pydatetime(), "labels") for day in at])
              for name, lost in (("performance", 10.0), ("cost-aware", 20.0), ("oracle", 0.0))]
    for measure in ("log loss", "cost", "squared error"):
        said = io.StringIO()
        Console(file=said, width=80).print(table.table(
            played, title="fraud", measure=measure, training=20.0))
        text = said.getvalue()
        assert "…" not in text
        words = text.split()
        assert {each.digest for each in played} <= {word.strip(",") for word in words}
        assert words.index("performance") < words.index("cost-aware")
