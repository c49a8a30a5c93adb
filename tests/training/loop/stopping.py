"""A training that is stopped where a step has just been stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ml_assets.training.loop.on_device import OnDevice


class Stopped(Exception):
    """Stands for a kill, where a process would take seconds."""


@contextmanager
def stopped_after(steps: int) -> Iterator[None]:
    """Stop the training in the block right after so many steps are stored."""
    save, saved = OnDevice._save, list[int]()

    def counted(self: OnDevice) -> None:
        save(self)
        saved.append(1)
        if len(saved) == steps:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(OnDevice, "_save", counted)
        yield
