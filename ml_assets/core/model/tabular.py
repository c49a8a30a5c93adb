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


@declaration
class NextItem(Network):
    """How much an item is wanted next: a sum of what speaks for it, each part of which counts as
    much as the context says.

    What is popular this week counts for somebody who comes back after a month; what goes with the
    choice of a minute ago for somebody who is looking around. `context` decides, by a small
    network; all other numbers and categories speak for the item. So does what stands together with
    it in the sequences `of` it: a matrix of items in closed form (Steck, "Embarrassingly Shallow
    Autoencoders for Sparse Data", 2019), by how long ago each was; the network learns how much
    that matters. Weights are fitted to the later half of the rows, after the matrix of the earlier
    half, so that what is weighed is how well it foretells; then it is made of all rows.

    item: the category column of the item
    context: columns and features that say who asks, and when
    most: of so many items, those seen most often, the matrix knows what goes with them
    ridge: how much it doubts what it saw seldom, as a share of the number of sequences
    hidden: units of the network that weighs; width: numbers that a category becomes
    """

    item: str
    context: tuple[str, ...]
    most: int = 2048
    ridge: float = 0.15
    hidden: int = 16
    width: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        require(bool(self.context), self, "context", self.context, "at least one column or feature")
        require(self.item not in self.context, self, "context", self.context,
                f"none that is the item, {self.item!r}")
        _require_sizes(self, most=1, hidden=1, width=1)
        require(self.ridge > 0, self, "ridge", self.ridge, "a share above 0")
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
