"""Networks that are built in, over numbers, categories, texts and sequences."""

from __future__ import annotations

from ml_assets.core.declaration import declaration
from ml_assets.core.model.network import Network
from ml_assets.core.policies import require


@declaration
class Tabular(Network):
    """A residual network over numbers and categories; texts and sequences by the mean of what
    their parts mean.

    Numbers come in as a broken line each, over `pieces` equally filled pieces of their range
    (Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning", 2022);
    the blocks are those of Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data",
    2021, with the row's own normalisation in place of the batch's.

    hidden: units; blocks: of the residual network; width: numbers that a category, a word or an
    item becomes; dropout: the share of hidden units that a step of the fit leaves out
    """

    hidden: int = 96
    blocks: int = 2
    width: int = 8
    pieces: int = 16
    dropout: float = 0.1

    def __post_init__(self) -> None:
        _require_sizes(self, hidden=1, blocks=0, width=1, pieces=1)
        _require_dropout(self, self.dropout)


@declaration
class TwoTower(Network):
    """Two vectors, one of the item and one of all else: the logit is their product.

    The item's vector depends on nothing else, so items can be compared beforehand (Yi et al.,
    "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", 2019).

    item: columns and features that describe the item
    width: of both vectors; hidden: units of each tower
    """

    item: tuple[str, ...]
    width: int = 32
    hidden: int = 64
    pieces: int = 16
    dropout: float = 0.1

    def __post_init__(self) -> None:
        require(bool(self.item), self, "item", self.item, "at least one column or feature")
        _require_sizes(self, width=1, hidden=1, pieces=1)
        _require_dropout(self, self.dropout)


@declaration
class SequenceRanker(Network):
    """How much an item is wanted after those before it.

    The item attends to each sequence `of` it: what is alike weighs more (Zhou et al., "Deep
    Interest Network for Click-Through Rate Prediction", 2018); all else comes in as in `Tabular`.

    item: the category column of the item; width: numbers that an item becomes
    """

    item: str
    width: int = 16
    hidden: int = 64
    pieces: int = 16
    dropout: float = 0.1

    def __post_init__(self) -> None:
        _require_sizes(self, width=1, hidden=1, pieces=1)
        _require_dropout(self, self.dropout)

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        return (("item", self.item),)


def _require_sizes(network: Network, **least: int) -> None:
    for name, smallest in least.items():
        found = getattr(network, name)
        require(found >= smallest, network, name, found, f"at least {smallest}")


def _require_dropout(network: Network, found: float) -> None:
    require(0 <= found < 1, network, "dropout", found, "a share in [0, 1)")
