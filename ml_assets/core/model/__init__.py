"""A model's declaration: what it reads, which network it is, how it is fitted."""

from ml_assets.core.model.full_batch import FullBatch
from ml_assets.core.model.hashed_text import HashedText
from ml_assets.core.model.inputs import Categories, Input, Numbers, Text
from ml_assets.core.model.model import Model
from ml_assets.core.model.network import Network

__all__ = ["Categories", "FullBatch", "HashedText", "Input", "Model", "Network", "Numbers", "Text"]
