"""The kinds of targets: what a system may predict. One file each."""

from ml_assets.targets.binary import Binary
from ml_assets.targets.classes import Classes
from ml_assets.targets.cost import Cost
from ml_assets.targets.number import Number
from ml_assets.targets.ranking import Ranking
from ml_assets.targets.top_precision import TopPrecision

__all__ = ["Binary", "Classes", "Cost", "Number", "Ranking", "TopPrecision"]
