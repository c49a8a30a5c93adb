"""A derived view as its declaration says it: in Feast an on-demand feature view with these tags."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from importlib import import_module
from typing import Any

import numpy.typing as npt

from ml_assets.core.data.columns import Dtype
from ml_assets.core.errors import DeclarationError

TAG = "ml_assets/derived"
HAPPENED = "event_timestamp"
"""The name under which a function gets the instant of the event."""

Arrays = Mapping[str, npt.NDArray[Any]]
Function = Callable[[Arrays], Arrays]


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What a function makes of each row, of the row alone.

    function: where it is, as `package.module:name`
    features: the features that it reads, as the vector has them
    columns: the event's columns that it reads, each with its type, by name
    gives: the features that it makes, all of them numbers
    definition: a hash of all that its values depend on, the function's text among it
    """

    view: str
    function: str
    features: tuple[str, ...]
    columns: tuple[tuple[str, Dtype], ...]
    gives: tuple[str, ...]
    definition: str = ""

    def tags(self) -> dict[str, str]:
        """What Feast keeps of it, see `read`."""
        return {TAG: json.dumps([self.function, self.features, self.columns])}

    @classmethod
    def read(
        cls, view: str, tags: Mapping[str, str], gives: tuple[str, ...], text: str
    ) -> Derived:
        """Of an on-demand view that `declaration.derived_view` made.

        text: the function's. Raises DeclarationError if something else has made the view.
        """
        if TAG not in tags:
            raise DeclarationError(
                f"on-demand feature view {view!r}: the platform computes those that are declared "
                "with ml_assets.features.declaration.derived_view; declare it so, or leave it out "
                "of the service"
            )
        function, features, columns = json.loads(tags[TAG])
        said = json.dumps([tags[TAG], gives, text])
        return cls(
            view=view, function=function, features=tuple(features), gives=gives,
            columns=tuple((name, dtype) for name, dtype in columns),
            definition=blake2b(said.encode(), digest_size=16).hexdigest(),
        )

    def load(self) -> Function:
        """Import the function. Raises DeclarationError if it is not there."""
        module, _, name = self.function.partition(":")
        try:
            found: Function = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise DeclarationError(
                f"derived view {self.view!r}: {self.function} cannot be imported: {error}"
            ) from error
        return found


def name_of(function: Function, owner: str) -> str:
    """As `Derived.function` has it.

    Raises DeclarationError unless a server can import the function, and without Feast.
    """
    module, name = function.__module__, function.__qualname__
    if not name.isidentifier() or module == "__main__":
        raise DeclarationError(f"{owner}: function is {module}.{name}; expected one that a module "
                               "defines at its top")
    feast = sorted(each for each, value in vars(import_module(module)).items()
                   if (getattr(value, "__module__", "") or "").split(".")[0] == "feast"
                   or getattr(value, "__name__", "") == "feast")
    if feast:
        raise DeclarationError(
            f"{owner}: the module of the function, {module}, imports {', '.join(feast)} of Feast, "
            "which takes seconds in every process that serves; define it in a module of its own"
        )
    return f"{module}:{name}"
