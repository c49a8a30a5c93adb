"""What all declarations of networks have in common."""

from __future__ import annotations

from typing import ClassVar

from ml_assets.core.model.inputs import Input


class Network:
    """Light: it names a network and its sizes. `ml_assets.training` makes it."""

    takes: ClassVar[tuple[type[Input], ...]]
    """The kinds of inputs that it can read."""
