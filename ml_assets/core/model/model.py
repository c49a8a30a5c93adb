"""The model of a system: inputs, network, fit, and which rows are for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Literal, TypeVar

from ml_assets.core.data.columns import Column
from ml_assets.core.declaration import closest, declaration, listed
from ml_assets.core.errors import DeclarationError
from ml_assets.core.model.hashed_text import HashedText
from ml_assets.core.model.inputs import Categories, Embedding, Input, Numbers, Sequence, Text
from ml_assets.core.model.network import Fit, Network
from ml_assets.core.model.search import Among, Between, value_of, with_values
from ml_assets.core.policies import require

SEARCHED = ("network.", "fit.")
"""What a search may change: not which rows there are."""
Kind = TypeVar("Kind", Text, Numbers, Categories, Sequence, Embedding)
Loss = Literal["squared_hinge"]
CALIBRATED = 0.2
TENSORS = ("numbers", "missing", "categories")
"""Names that networks know other inputs by."""


@declaration
class Model:
    """What is learnt from, by what, and how.

    inputs: columns of the event; all features of the feature service are inputs too, those that
        are codes of texts as categories
    without: features of the service that are not read
    network: what is learnt
    loss: what training minimises; None for the target's own. `squared_hinge` fits a margin of 1
        between True and False, spends nothing on rows that are surely right, and often ranks
        better if labels are nearly separable. Its margins become probabilities by a line that is
        fitted to rows that were not learnt from: the `validation` rows of `Minibatch`, otherwise
        the latest `CALIBRATED` of all, as a model of the earlier ones sees them
    fit: how; as suits the network unless it is declared
    holdout: of the matured events, those of the latest time so long are not trained on: a
        candidate is judged on them
    history: events that happened longer ago are not looked at; None for all there ever were
    seed: draws the first weights
    search: which values `ml-assets tune` may try; the declared ones are what is trained with
    """

    inputs: tuple[Input, ...] = ()
    without: tuple[str, ...] = ()
    network: Network = HashedText()
    loss: Loss | None = None
    fit: Fit | None = None
    holdout: timedelta = timedelta(days=3)
    history: timedelta | None = None
    seed: int = 7
    search: tuple[Between | Among, ...] = ()

    def __post_init__(self) -> None:
        network = type(self.network)
        if self.fit is None:
            object.__setattr__(self, "fit", network.fits[0]())
        require(type(self.fit) in network.fits, self, "fit", self.fit,
                f"a fit of {network.__name__}: {listed(kind.__name__ for kind in network.fits)}")
        self._require_inputs()
        require(self.holdout > timedelta(0), self, "holdout", self.holdout, "a positive time")
        require(self.history is None or self.history > self.holdout, self, "history", self.history,
                f"none, or longer than holdout, {self.holdout}")
        self._require_search()

    def _require_inputs(self) -> None:
        taken = {kind.__name__: kind for kind in self.network.takes}
        for each in self.inputs:
            require(type(each) in taken.values(), self, "inputs", each,
                    f"what {type(self.network).__name__} can read: {listed(taken)}")
        read: dict[str, tuple[object, ...]] = {
            "Text": tuple((each.column, each.unit) for each in self.of(Text)),
            "Numbers": self.numbers, "Categories": self.categories,
            "Sequence": tuple(each.feature for each in self.of(Sequence)),
            "Embedding": tuple(each.column for each in self.of(Embedding)),
        }
        for name, found in read.items():
            twice = [each for each in dict.fromkeys(found) if found.count(each) > 1]
            require(not twice, self, "inputs", twice, f"each of {name} once")
        if not isinstance(self.network, HashedText):
            self._require_names()

    def _require_names(self) -> None:
        """Networks know their inputs by name."""
        names = [each.column for each in self.of(Text)]
        names += [each.feature for each in self.of(Sequence)]
        names += [each.column for each in self.of(Embedding)]
        for name in names:
            require(names.count(name) == 1 and name not in TENSORS, self, "inputs", name,
                    f"another name: a network knows texts, lists and vectors by theirs, each once, "
                    f"and {listed(TENSORS)} are others")
        for field, name in (*self.network.named,
                            *(("of", each.of) for each in self.of(Sequence) if each.of)):
            if name not in self.categories:
                raise DeclarationError(
                    f"Model.inputs: {field} names {name!r}; expected a column of Categories: "
                    f"{', '.join(self.categories) or 'there is none'}."
                    f"{closest(name, self.categories)}")

    def _require_search(self) -> None:
        """Every value that may be tried can be declared, and the declared one may be tried."""
        names = [each.name for each in self.search]
        require(len(set(names)) == len(names), self, "search", names, "each name once")
        for each in self.search:
            require(each.name.startswith(SEARCHED), self, "search", each.name,
                    f"a value of {listed(SEARCHED)}")
            for value in each.ends:
                with_values(replace(self, search=()), {each.name: value})
            require(each.holds(value_of(self, each.name)), self, "search", each,
                    f"one that has the declared value too, {value_of(self, each.name)!r}")

    def of(self, kind: type[Kind]) -> tuple[Kind, ...]:
        """The inputs of one kind, in order."""
        return tuple(each for each in self.inputs if isinstance(each, kind))

    @property
    def numbers(self) -> tuple[str, ...]:
        """Of the numbers that a feature vector has of an event: columns read as numbers, then the
        places of embeddings.
        """
        return (*(name for each in self.of(Numbers) for name in each.columns),
                *(name for each in self.of(Embedding) for name in each.places))

    @property
    def categories(self) -> tuple[str, ...]:
        """The columns read as categories."""
        return tuple(name for each in self.of(Categories) for name in each.columns)

    @property
    def texts(self) -> tuple[str, ...]:
        """The text and category columns that are read, each once."""
        return tuple(dict.fromkeys((*(each.column for each in self.of(Text)), *self.categories)))

    @property
    def described(self) -> dict[str, object]:
        """All of it, by names for a reader: `network.hidden`."""
        said: dict[str, object] = {"inputs": [repr(each) for each in self.inputs],
                                   "without": list(self.without)}
        for name, part in (("network", self.network), ("fit", self.fit)):
            said[name] = type(part).__name__
            parts = asdict(part)  # type: ignore[arg-type]  # each is a dataclass
            said |= {f"{name}.{field}": value for field, value in parts.items()}
        return {**said, "loss": self.loss, "holdout": self.holdout, "history": self.history,
                "seed": self.seed}

    def require_columns(self, columns: Collection[Column]) -> None:
        """Raise DeclarationError unless the event has all that is read, in the kinds that it can
        be read in.
        """
        self._require_vectors(columns)
        plain = {column.name: column.dtype for column in columns if not column.many}
        for each in self.inputs:
            known = [name for name, dtype in plain.items() if dtype in each.dtypes]
            for name in each.columns:
                if name not in known:
                    found = f", which is {plain[name]}" if name in plain else ""
                    raise DeclarationError(
                        f"{type(each).__name__} names {name!r}{found}; expected a column of "
                        f"{listed(each.dtypes)}: {', '.join(sorted(known)) or 'there is none'}."
                        f"{closest(name, known)}")

    def _require_vectors(self, columns: Collection[Column]) -> None:
        known = {column.name: column for column in columns}
        lists = [column.name for column in columns if column.many and column.dtype == "number"]
        for each in self.of(Embedding):
            found = known.get(each.column)
            if found is None or found.name not in lists:
                raise DeclarationError(
                    f"Embedding names {each.column!r}; expected a column of numbers with "
                    f"many=True: {', '.join(lists) or 'there is none'}."
                    f"{closest(each.column, lists)}")
            if found.length != each.size:
                raise DeclarationError(
                    f"Embedding({each.column!r}, size={each.size}), but the column has "
                    f"length={found.length}; expected the same")
