"""The model of a system: inputs, network, fit, and which rows are for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TypeVar

from ml_assets.core.data.columns import Column
from ml_assets.core.declaration import closest, declaration, listed
from ml_assets.core.errors import DeclarationError
from ml_assets.core.model.full_batch import FullBatch
from ml_assets.core.model.hashed_text import HashedText
from ml_assets.core.model.inputs import Categories, Input, Numbers, Text
from ml_assets.core.model.network import Network
from ml_assets.core.model.search import Among, Between, value_of, with_values
from ml_assets.core.policies import require

SEARCHED = ("network.", "fit.")
"""What a search may change: not which rows there are."""
Kind = TypeVar("Kind", Text, Numbers, Categories)


@declaration
class Model:
    """What is learnt from, by what, and how.

    inputs: columns of the event; all features of the feature service are inputs too
    network: what is learnt
    fit: how
    holdout: of the matured events, those of the latest time so long are not trained on: a
        candidate is judged on them
    history: events that happened longer ago are not looked at; None for all there ever were
    seed: draws the first weights
    search: which values `ml-assets tune` may try; the declared ones are what is trained with
    """

    inputs: tuple[Input, ...] = ()
    network: Network = HashedText()
    fit: FullBatch = FullBatch()
    holdout: timedelta = timedelta(days=3)
    history: timedelta | None = None
    seed: int = 7
    search: tuple[Between | Among, ...] = ()

    def __post_init__(self) -> None:
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
        for name, found in (("Text", self.of(Text)), ("Numbers", self.numbers),
                            ("Categories", self.categories)):
            twice = [each for each in dict.fromkeys(found) if found.count(each) > 1]
            require(not twice, self, "inputs", twice, f"each of {name} once")

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
        """The columns read as numbers."""
        return tuple(name for each in self.of(Numbers) for name in each.columns)

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
        said: dict[str, object] = {"inputs": [repr(each) for each in self.inputs]}
        for name, part in (("network", self.network), ("fit", self.fit)):
            said[name] = type(part).__name__
            parts = asdict(part)  # type: ignore[arg-type]  # every network is a dataclass
            said |= {f"{name}.{field}": value for field, value in parts.items()}
        return {**said, "holdout": self.holdout, "history": self.history, "seed": self.seed}

    def require_columns(self, columns: Collection[Column]) -> None:
        """Raise DeclarationError unless the event has all that is read, in the kinds that it can
        be read in.
        """
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
