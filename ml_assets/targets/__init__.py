"""The kinds of targets: what a system may predict. One file each."""

from ml_assets.targets.binary import Binary
from ml_assets.targets.classes import Classes
from ml_assets.targets.number import Number
from ml_assets.targets.ranking import Ranking

__all__ = ["Binary", "Classes", "Number", "Ranking"]
