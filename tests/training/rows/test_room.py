"""All rows at once must fit in memory."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from ml_assets.core.errors import NotReady
from ml_assets.training.rows.labelled import LabelledRows
from ml_assets.training.rows.room import require_room

ROWS = LabelledRows(texts={"note": ["n" * 51] * 5_000}, dense=np.zeros((5_000, 25), np.float32),
                    codes=np.zeros(5_000), feature_names=tuple(map(str, range(25))))
"""100 bytes of text (with Python's own) and 100 of numbers each."""


def test_rows_that_do_not_fit_are_refused_and_what_to_do_is_said() -> None:
    with pytest.raises(NotReady, match=r"all 5,000 rows at once, .* declare Minibatch\(\)"):
        require_room(ROWS, free=999_999)


def test_rows_that_hardly_fit_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        require_room(ROWS, free=4_000_010)
        assert not caplog.records
        require_room(ROWS, free=3_900_000)
    assert "FullBatch takes all 5,000 rows" in caplog.text
    require_room(ROWS)
    require_room(ROWS.part(0, 0), free=0)
