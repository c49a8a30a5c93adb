"""A model's declaration: what it reads, which network it is, how it is fitted."""

from ml_assets.core.model.full_batch import FullBatch
from ml_assets.core.model.hashed_text import HashedText
from ml_assets.core.model.inputs import Categories, Embedding, Input, Numbers, Sequence, Text
from ml_assets.core.model.minibatch import Minibatch
from ml_assets.core.model.model import Model
from ml_assets.core.model.network import Fit, Network
from ml_assets.core.model.tabular import NextItem, SequenceRanker, Tabular, TwoTower
from ml_assets.core.model.torch_module import Torch

__all__ = [
    "Categories", "Embedding", "Fit", "FullBatch", "HashedText", "Input", "Minibatch", "Model",
    "Network", "NextItem", "Numbers", "Sequence", "SequenceRanker", "Tabular", "Text", "Torch",
    "TwoTower",
]
